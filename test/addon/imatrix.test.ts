import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { readGguf, readImatrix } from '../../lib/gguf/index.js'
import { loadModel, type Model, makeImatrix, quantizeModel } from '../../lib/index.js'
import { native } from '../../lib/native.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { expectCode } from '../helpers/expect-code.js'

const { tiny, bert } = inject('models')
const text = readFileSync('README.md', 'utf8').slice(0, 8000)
let folder: string
let model: Model
let out: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-imatrix-'))
  model = await loadModel(tiny, { threads: 1 })
})
afterAll(async () => {
  await model.close()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  out = join(folder, 'imatrix.gguf')
})
afterEach(() => rmSync(out, { force: true }))

/** Rows of an F32 tensor of a file. */
async function valuesOf(path: string, name: string): Promise<(row: number) => number[]> {
  const { tensors, dataOffset } = await readGguf(path)
  const { type, dimensions, offset } = tensors.find((tensor) => tensor.name === name)!
  const bytes = readFileSync(path)
  expect(type).toBe('F32')
  const columns = dimensions[0]!
  return (row) =>
    Array.from({ length: columns }, (_, i) =>
      bytes.readFloatLE(dataOffset + offset + 4 * (row * columns + i)),
    )
}

describe('makeImatrix', () => {
  it('sums the squares of what goes into each weight: the normalised embeddings, in the first layer', async () => {
    const path = makeTinyModel(join(folder, 'f32.gguf'), { type: 'F32' })
    const [contextSize, chunks] = [32, 3]
    const made = await makeImatrix(path, text, out, { contextSize, chunks })
    const { tensors, chunks: said } = await readImatrix(out)
    expect(made).toEqual({ path: out, tensors: tensors.size, tokens: 96, chunks })
    expect(said).toBe(chunks)
    const sums = await readGguf(out)
    const counts = sums.tensors.filter(({ name }) => name.endsWith('.counts'))
    for (const { name } of counts) expect((await valuesOf(out, name))(0), name).toEqual([96])

    const tokens = (await model.tokenize(text, { addSpecial: true })).slice(0, contextSize * chunks)
    const embedding = await valuesOf(path, 'token_embd.weight')
    const norm = (await valuesOf(path, 'blk.0.attn_norm.weight'))(0)
    const { metadata } = await readGguf(path)
    const epsilon = metadata.get('llama.attention.layer_norm_rms_epsilon') as number
    const expected = norm.map(() => 0)
    for (const token of tokens) {
      const row = embedding(token)
      const square = row.reduce((sum, value) => sum + value * value, 0) / row.length + epsilon
      row.forEach((value, i) => {
        expected[i]! += (value * norm[i]!) ** 2 / square / tokens.length
      })
    }
    for (const name of ['attn_q', 'attn_k', 'attn_v']) {
      const found = tensors.get(`blk.0.${name}.weight`)!
      expect(found).toHaveLength(expected.length)
      found.forEach((value, i) => {
        expect(value / expected[i]!).toBeCloseTo(1, 3)
      })
    }
    // Weights of the layers, all of two dimensions, and nothing else.
    const { tensors: all } = await readGguf(path)
    expect([...tensors.keys()].sort()).toEqual(
      all
        .flatMap(({ name, dimensions }) =>
          dimensions.length > 1 && name.startsWith('blk.') ? [name] : [],
        )
        .sort(),
    )
  })

  it('counts for each expert what it was given', async () => {
    const path = makeTinyModel(join(folder, 'experts.gguf'), { shape: 'experts', type: 'F16' })
    const options = { contextSize: 32, chunks: 2 }
    await using experts = await loadModel(path, { threads: 1, contextSize: 256 })
    const { info } = experts
    const { metadata } = await readGguf(path)
    const [count, used] = ['expert_count', 'expert_used_count'].map(
      (key) => metadata.get(`${info.architecture}.${key}`) as number,
    )
    await makeImatrix(experts, 'word '.repeat(200), out, options)
    const { tensors, dataOffset } = await readGguf(out)
    const bytes = readFileSync(out)
    const counts = tensors.filter(({ name }) => /_exps\.weight\.counts$/.test(name))
    expect(counts).toHaveLength(2 * 3)
    for (const { dimensions, offset } of counts) {
      expect(dimensions).toEqual([1, count])
      let sum = 0
      for (let i = 0; i < count!; i++) sum += bytes.readFloatLE(dataOffset + offset + 4 * i)
      expect(sum).toBe(64 * used!)
    }
  })

  it('gives the same for a loaded model, other threads, and again; the file may be there', async () => {
    writeFileSync(out, 'before')
    const options = { contextSize: 64, dataset: 'a/words.txt' }
    await makeImatrix(tiny, text, out, { ...options, threads: 1 })
    const first = readFileSync(out)
    await makeImatrix(model, text, out, { ...options, threads: 2 })
    expect(readFileSync(out).equals(first)).toBe(true)
    expect((await readImatrix(out)).dataset).toBe('words.txt')
  })

  it('makes what quantizeModel takes, and types that need one possible', async () => {
    const wide = makeTinyModel(join(folder, 'wide.gguf'), { shape: 'words', type: 'F16' })
    await makeImatrix(wide, text, out, { contextSize: 64, chunks: 2 })
    const small = join(folder, 'small.gguf')
    await quantizeModel(wide, 'IQ2_XS', small, { imatrix: out })
    expect((await readGguf(small)).metadata.get('quantize.imatrix.chunks_count')).toBe(2)
  })
})

describe('nothing is written', () => {
  const none = () =>
    expect(readdirSync(folder).filter((name) => name.startsWith('imatrix'))).toEqual([])

  it('of a text that is too short, a model that does not generate, wrong options', async () => {
    await expectCode('ERR_TEXT_TOO_SHORT', () => makeImatrix(model, 'short', out))
    await expectCode('ERR_PROMPT_INVALID', () => makeImatrix(model, 7 as never, out))
    await expectCode('ERR_MODEL_UNSUPPORTED', () =>
      makeImatrix(bert, 'word '.repeat(200), out, { contextSize: 16 }),
    )
    for (const options of [{ contextSize: 7 }, { chunks: 0 }, { dataset: 7 }])
      await expectCode('ERR_OPTION_INVALID', () => makeImatrix(model, text, out, options as object))
    await expectCode('ERR_OPTION_UNKNOWN', () =>
      makeImatrix(model, text, out, { output: 'x' } as object),
    )
    for (const output of ['', 7])
      await expectCode('ERR_OPTION_INVALID', () => makeImatrix(model, text, output as never))
    await expectCode('ERR_MODEL_NOT_FOUND', () => makeImatrix('/none.gguf', text, out))
    none()
  })

  it('when it is aborted, when onProgress throws, when the model is closed', async () => {
    const long = text.repeat(30)
    const controller = new AbortController()
    await expectCode('ERR_ABORTED', () =>
      makeImatrix(model, long, out, {
        contextSize: 64,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      }),
    )
    const deliberate = new Error('deliberate')
    const thrown = makeImatrix(model, long, out, {
      contextSize: 64,
      onProgress: () => {
        throw deliberate
      },
    })
    await expect(thrown).rejects.toBe(deliberate)
    const other = await loadModel(tiny, { threads: 1 })
    const closed = expectCode('ERR_MODEL_CLOSED', () =>
      makeImatrix(other, long, out, { contextSize: 64 }),
    )
    await other.close()
    await closed
    none()
  })

  it('where there is no folder', async () => {
    await expectCode('ERR_DISK', () =>
      makeImatrix(model, text, join(folder, 'none', 'imatrix.gguf'), {
        contextSize: 64,
        chunks: 2,
      }),
    )
  })

  it('native importance refuses arguments of other types', () => {
    const importance = native().importance as (...args: unknown[]) => unknown
    for (const args of [[], [{}], [7, 'x'], [Object.create(null), 'x', {}]])
      expect(() => importance(...args)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      )
  })
})
