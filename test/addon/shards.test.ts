import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { mergeModel, splitModel, writeGguf } from '../../lib/gguf/index.js'
import { type LoadOptions, loadModel } from '../../lib/index.js'
import { tinyModelParts } from '../../scripts/make-tiny-model.mjs'
import { expectCode } from '../helpers/expect-code.js'

const { real, tiny } = inject('models')
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-shards-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function answer(model: string | string[], options: LoadOptions = {}) {
  await using loaded = await loadModel(model, { contextSize: 256, threads: 1, ...options })
  const text = await loaded
    .complete('The capital of France is', { maxTokens: 12, temperature: 0, ignoreEos: true })
    .text()
  const { bytes, parameters, layers, path, kernels } = loaded.info
  return { text, bytes, parameters, layers, path, weights: kernels.weights }
}

describe('a model in shards answers as it does in one file', () => {
  it('tiny, a shard a layer and in one, under upstream’s names and free ones', async () => {
    const { path: _, ...whole } = await answer(tiny)
    for (const [name, options] of Object.entries({
      layers: {},
      one: { shards: 1 },
      free: { names: 'layer-%02d.bin' },
      small: { maxBytes: 200_000 },
    })) {
      const { paths, manifest } = await splitModel(tiny, {
        ...options,
        folder: join(folder, name),
      })
      expect(await answer(manifest ?? paths[0]!)).toEqual({ ...whole, path: paths[0] })
      expect(await answer(paths)).toEqual({ ...whole, path: paths[0] })
      if (!manifest) continue
      const merged = join(folder, 'merged.gguf')
      await mergeModel(manifest, merged)
      expect(readFileSync(merged).equals(readFileSync(tiny))).toBe(true)
    }
  })

  it('a real one: by first shard, manifest and list; mapped and read; packed weights in memory and in a file', async () => {
    const { path: _, weights, ...whole } = await answer(real)
    const { paths } = await splitModel(real, { shards: 4, folder: join(folder, 'four') })
    const { manifest } = await splitModel(real, { names: '%02d', folder: join(folder, 'layers') })
    for (const source of [paths[0]!, paths, manifest!]) {
      for (const options of [{}, { mmap: false }, { packedCache: false }]) {
        const { weights: its, path: _, ...sharded } = await answer(source, options)
        expect(sharded).toEqual(whole)
        if (Object.keys(options).length === 0) expect(its).toBe(weights)
      }
    }
    expect(await answer(real, { draft: manifest! })).toMatchObject(whole)
  })

  it('a first shard without tensors', async () => {
    const { metadata, tensors } = tinyModelParts()
    const split = (no: number) => [
      { key: 'split.no', type: 'uint16' as const, value: no },
      { key: 'split.count', type: 'uint16' as const, value: 2 },
      { key: 'split.tensors.count', type: 'int32' as const, value: tensors.length },
    ]
    const [first, second] = ['e-00001-of-00002.gguf', 'e-00002-of-00002.gguf'].map((name) =>
      join(folder, name),
    )
    writeGguf(first!, [...metadata, ...split(0)], [])
    writeGguf(second!, split(1), tensors)
    expect((await answer(first!)).text).toBe((await answer(tiny)).text)
  })
})

describe('native code opens no shard before all of them are known to be one model', () => {
  it('a shard of another model, and a missing one', async () => {
    const { paths } = await splitModel(tiny, { folder: join(folder, 'bad') })
    const other = await splitModel(inject('models').tools, { folder: join(folder, 'other') })
    await expectCode('ERR_MODEL_FORMAT', () => loadModel([paths[0]!, other.paths[1]!]))
    copyFileSync(other.paths[1]!, paths[1]!)
    await expectCode('ERR_MODEL_FORMAT', () => loadModel(paths[0]!))
    rmSync(paths[1]!)
    await expectCode('ERR_MODEL_NOT_FOUND', () => loadModel(paths[0]!))
    await expectCode('ERR_MODEL_FORMAT', () => loadModel([paths[0]!]))
  })

  it('a manifest that leads elsewhere', async () => {
    const { manifest } = await splitModel(tiny, { names: '%d', folder: join(folder, 'm') })
    writeFileSync(manifest!, readFileSync(manifest!, 'utf8').replace('"1"', '"../m/1"'))
    await expectCode('ERR_MANIFEST_INVALID', () => loadModel(manifest!))
  })
})
