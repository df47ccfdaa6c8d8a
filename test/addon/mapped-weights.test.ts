// Weights that are mapped: what of them is resident when, who shares them, and what happens when somebody cuts the file. Linux says so in /proc.

import { spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { loadModel } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'
import { runScript } from '../helpers/run-script.js'

const { real, tiny } = inject('models')
const bytes = statSync(real).size

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-mapped-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** In a child: sums of a column of /proc/self/smaps over the mappings of a file, in bytes. */
const pagesOf = `
import { readFileSync } from 'node:fs'
function pagesOf(path) {
  const sums = { Rss: 0, Pss: 0, mappings: 0 }
  let ours = false
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\\n')) {
    if (/^[0-9a-f]+-/.test(line)) {
      ours = line.endsWith(path)
      if (ours) sums.mappings++
    }
    const field = /^(Rss|Pss): +(\\d+)/.exec(line)
    if (ours && field) sums[field[1]] += field[2] * 1024
  }
  return sums
}
`
const load = (path: string, options: object, name = 'model') =>
  `const ${name} = await sotto.loadModel(${JSON.stringify(path)}, ${JSON.stringify({ contextSize: 512, ...options })})\n`

async function answerOf(script: string, environment = {}) {
  const outcome = await runScript(`${pagesOf}${script}`, { env: environment })
  expect(outcome).toMatchObject({ code: 0, signal: null, stderr: '' })
  return JSON.parse(outcome.stdout)
}

describe.runIf(process.platform === 'linux')('residency', () => {
  it('before the first token less than 5 % of weights that are used as mapped is resident; of prefetched ones all', async () => {
    const script = (options: object) =>
      `${load(real, { kernels: 'upstream', ...options })}console.log(JSON.stringify(pagesOf(${JSON.stringify(real)})))`
    const [asTheyCome, brought] = await Promise.all([
      answerOf(script({})),
      answerOf(script({ prefetch: true })),
    ])
    expect(asTheyCome.mappings).toBeGreaterThan(0)
    expect(asTheyCome.Rss).toBeLessThan(bytes * 0.05)
    expect(brought.Rss).toBeGreaterThan(bytes * 0.95)
  })

  it('of packed weights nothing is resident with prefetch: false, at their first load and later, and all by default', async () => {
    const script = (options: object) =>
      `${load(real, options)}console.log(JSON.stringify({ where: model.info.kernels.weights, ...pagesOf('.packed') }))`
    const environment = { SOTTO_HOME: folder }
    const first = await answerOf(script({ prefetch: false }), environment)
    if (first.where === '') return // no kernels for this CPU
    const later = await answerOf(script({ prefetch: false }), environment)
    const usual = await answerOf(script({}), environment)
    for (const cold of [first, later]) {
      expect(cold).toMatchObject({ where: 'file', mappings: 1 })
      expect(cold.Rss).toBeLessThan(bytes * 0.05)
    }
    expect(usual.Rss).toBeGreaterThan(bytes * 0.5)
  })

  it('two processes share the pages of a model', async () => {
    const script = `${pagesOf}${load(real, { kernels: 'upstream', prefetch: true })}
console.log('loaded')
for await (const _ of process.stdin) break
console.log(JSON.stringify(pagesOf(${JSON.stringify(real)})))
process.exit(0)`
    const children = [0, 1].map(() =>
      spawn(
        process.execPath,
        [
          '--input-type=module',
          '--eval',
          `import * as sotto from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}\n${script}`,
        ],
        {
          stdio: ['pipe', 'pipe', 'inherit'],
        },
      ),
    )
    const lines = children.map((child) => createInterface(child.stdout)[Symbol.asyncIterator]())
    for (const line of lines) expect((await line.next()).value).toBe('loaded')
    for (const child of children) child.stdin.write('\n')
    for (const line of lines) {
      const { Rss, Pss } = JSON.parse((await line.next()).value)
      expect(Rss).toBeGreaterThan(bytes * 0.95)
      expect(Pss).toBeLessThan(Rss * 0.55)
    }
  })

  it('mlock locks what is mapped', async () => {
    const locked = await answerOf(
      `${load(real, { kernels: 'upstream', mlock: true })}console.log(JSON.stringify(Number(/VmLck:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024))`,
    )
    expect(locked).toBeGreaterThan(bytes * 0.95)
  })
})

it('a file that is read directly is not mapped and answers alike', async () => {
  const texts = []
  for (const options of [{}, { directRead: true }, { mmap: false }]) {
    await using model = await loadModel(tiny, { ...options, kernels: 'upstream', threads: 1 })
    texts.push(await model.complete('Once', { maxTokens: 8, temperature: 0 }).text())
  }
  expect(new Set(texts).size).toBe(1)
  await expectCode('ERR_OPTION_INVALID', () => loadModel(tiny, { directRead: true, mmap: true }))
  await expectCode('ERR_OPTION_INVALID', () => loadModel(tiny, { directRead: true, mlock: true }))
  await expectCode('ERR_OPTION_INVALID', () => loadModel(tiny, { mmap: false, prefetch: true }))
})

describe.runIf(process.platform === 'linux')('a file that is cut while it is mapped', () => {
  const code = 'error => error.code'
  const cut = (path: string) => `truncateSync(${JSON.stringify(path)}, 4096)\n`
  const script = (text: string) =>
    `import { readdirSync, truncateSync } from 'node:fs'\nimport { join } from 'node:path'\n${text}`

  it('ends answers and vectors in ERR_MODEL_CHANGED; another model goes on, and this one closes', async () => {
    const path = join(folder, 'model.gguf')
    copyFileSync(real, path)
    const seen = await answerOf(
      script(`${load(path, { kernels: 'upstream' })}${load(tiny, {}, 'other')}
const seen = []
const stream = model.complete('Once', { ignoreEos: true, maxTokens: 400 })
let pieces = 0
try {
  for await (const _ of stream) if (++pieces === 4) { ${cut(path)} }
} catch (error) { seen.push(error.code, error.message.includes('model.gguf')) }
seen.push(await model.complete('Twice').text().catch(${code}))
seen.push(await model.embed('Twice').catch(${code}))
seen.push(typeof (await other.complete('Once', { maxTokens: 4 }).text()))
await model.close()
console.log(JSON.stringify(seen))`),
    )
    expect(seen).toEqual([
      'ERR_MODEL_CHANGED',
      true,
      'ERR_MODEL_CHANGED',
      'ERR_MODEL_CHANGED',
      'string',
    ])
  })

  it('the same of packed weights; the next load packs them again', async () => {
    const seen = await answerOf(
      script(`${load(real, { prefetch: false })}
if (model.info.kernels.weights !== 'file') { console.log('null'); process.exit(0) }
const packed = join(process.env.SOTTO_HOME, 'packed')
for (const name of readdirSync(packed)) if (name.endsWith('.packed')) truncateSync(join(packed, name), 4096)
const seen = [await model.complete('Once').text().catch(${code})]
await model.close()
${load(real, {}, 'again')}
seen.push(again.info.kernels.problem, typeof (await again.complete('Once', { maxTokens: 4 }).text()))
console.log(JSON.stringify(seen))`),
      { SOTTO_HOME: folder },
    )
    if (seen) expect(seen).toEqual(['ERR_MODEL_CHANGED', '', 'string'])
  })

  it('while it is loaded: the load fails', async () => {
    const path = join(folder, 'model.gguf')
    copyFileSync(real, path)
    const seen = await answerOf(
      script(`let cut = false
const onProgress = () => { if (!cut) { cut = true; ${cut(path)} } }
const load = sotto.loadModel(${JSON.stringify(path)}, { checkTensors: true, onProgress, packedCache: false })
console.log(JSON.stringify(await load.then(() => 'loaded', ${code})))`),
    )
    expect(['ERR_MODEL_CHANGED', 'ERR_MODEL_LOAD']).toContain(seen)
  })

  it('a SIGBUS that is no model’s ends the process as ever', async () => {
    const outcome = await runScript(
      `${load(tiny, {})}process.kill(process.pid, 'SIGBUS')\nsetTimeout(() => {}, 1000)`,
    )
    expect(outcome).toMatchObject({ code: null, signal: 'SIGBUS' })
  })
})
