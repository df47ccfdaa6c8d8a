import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { estimateModel, type LoadOptions, loadModel } from '../../lib/index.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { expectCode } from '../helpers/expect-code.js'
import { runScript } from '../helpers/run-script.js'

// Small shapes; the bench's trial `memory` has five, of up to a billion parameters, with more options.
let folder: string
const paths: Record<string, string> = { smollm2: inject('models').real }
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-estimate-'))
  paths['words F16'] = makeTinyModel(join(folder, 'words.gguf'), { shape: 'words', type: 'F16' })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const cases: [model: string, load: LoadOptions][] = [
  ['smollm2', { contextSize: 1024 }],
  ['smollm2', { contextSize: 1024, cacheType: 'q8_0', batchSize: 256 }],
  ['smollm2', { contextSize: 1024, cacheType: { k: 'f32', v: 'f16' }, batchSize: 1024 }],
  ['words F16', { contextSize: 2048 }],
]

describe.runIf(process.platform === 'linux')('the estimate', () => {
  it.each(cases)('of %s with %o is within a tenth of what is used', async (name, load) => {
    const { stdout, stderr } = await runScript(
      `
const { readFileSync } = await import('node:fs')
const { memory } = await import(${JSON.stringify(new URL('../../bench/drivers/sotto-memory.mjs', import.meta.url).href)})
const outcome = await memory({ model: ${JSON.stringify(paths[name])}, warmer: ${JSON.stringify(inject('models').tiny)}, load: ${JSON.stringify(load)} })
console.log(JSON.stringify(outcome))`,
      { flags: ['--expose-gc'] },
    )
    expect(stderr).toBe('')
    const { estimatedOfUsed, ...figures } = JSON.parse(stdout)
    expect(Math.abs(estimatedOfUsed - 1), JSON.stringify(figures)).toBeLessThan(0.1)
  })
})

it('knows the KV cache to the byte', async () => {
  for (const load of [{}, { contextSize: 1000 }, { contextSize: 512, cacheType: 'f32' as const }]) {
    const { kv } = await estimateModel(inject('models').tiny, load)
    const model = await loadModel(inject('models').tiny, load)
    expect(kv).toBe(model.info.kvBytes)
    await model.close()
  }
})

it('a model that cannot fit is refused before it is loaded, with the numbers of its parts', async () => {
  const { message } = await expectCode('ERR_MODEL_MEMORY', () =>
    loadModel(inject('models').real, { contextSize: 2 ** 26 }),
  )
  expect(message).toMatch(
    /at most [\d.]+ GiB of memory, this one needs about [\d.]+ GiB \(weights 0\.1 GiB, which are mapped; KV cache [\d.]+ GiB; compute [\d.]+ GiB\)/,
  )
})

it('a draft model counts too', async () => {
  const { tiny, real } = inject('models')
  const [alone, draft, both] = await Promise.all([
    estimateModel(real),
    estimateModel(tiny),
    estimateModel(real, { draft: tiny }),
  ])
  expect(both.total).toBe(alone.total + draft.total)
  await expectCode('ERR_MODEL_NOT_FOUND', () => estimateModel('/missing.gguf'))
  await expectCode('ERR_OPTION_UNKNOWN', () => estimateModel(tiny, { contextsize: 1 } as never))
})
