import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SottoError } from '../../../lib/errors.js'
import { planConversion } from '../../../lib/gguf/converter.js'
import { convertLegacy, readLegacy } from '../../../lib/gguf/index.js'
import { expectCode } from '../../helpers/expect-code.js'
import { type LegacyChanges, legacyBytes, writePieceModel } from '../../helpers/legacy-model.js'

let folder: string
let source: string
let whole: Buffer
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-legacy-'))
  source = writePieceModel(join(folder, 'model.gguf'))
  whole = await legacyBytes(source, { format: 'ggjt', version: 3 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ints = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer)
/** The whole file with numbers put in at a place. */
const patched = (at: number, ...values: number[]) => {
  const bytes = Buffer.from(whole)
  ints(...values).copy(bytes, at)
  return bytes
}
const changed = (changes: LegacyChanges) =>
  legacyBytes(source, { format: 'ggjt', version: 3 }, changes)
const vocabularyAt = 8
const firstTokenAt = 8 + 7 * 4
/** Where the first tensor's description begins. */
const tensorsAt = () => {
  let at = firstTokenAt
  for (let i = 0; i < 512; i++) at += 8 + whole.readUInt32LE(at)
  return at
}

describe.each([
  { format: 'ggml', version: 0 },
  { format: 'ggmf', version: 1 },
  { format: 'ggjt', version: 1 },
  { format: 'ggjt', version: 3 },
] as const)('$format $version', (format) => {
  it('says of itself what it is, from bytes as from a file', async () => {
    const bytes = await legacyBytes(source, format)
    const model = readLegacy(bytes)
    expect(model).toMatchObject({
      ...format,
      fileType: 'F32',
      fileBytes: bytes.length,
      hyperparameters: { vocabulary: 512, embedding: 64, heads: 4, layers: 2, rotated: 16 },
    })
    expect(Buffer.from(model.tokens[259]!).toString()).toBe(' ')
    expect(model.scores?.[300]).toBe(format.format === 'ggml' ? undefined : -41)
    expect(model.tensors.map(({ name }) => name)).toContain('layers.1.attention.wk.weight')
    const path = join(folder, `${format.format}${format.version}.bin`)
    writeFileSync(path, bytes)
    expect(readLegacy(path)).toEqual(model)
  })

  it('cut at any byte is refused by its code', async () => {
    const bytes = await legacyBytes(source, format)
    const { tensors } = readLegacy(bytes)
    // Every byte of the head and of the first descriptions, then some: data is skipped, not read.
    const lengths = Array.from({ length: tensors[1]!.offset + 64 }, (_, i) => i).filter(
      (i) => i < tensors[0]!.offset + 2 || i >= tensors[0]!.offset + tensors[0]!.bytes - 2,
    )
    for (let i = tensors[1]!.offset; i < bytes.length; i += 997) lengths.push(i)
    const ends = new Set(tensors.map(({ offset, bytes }) => offset + bytes))
    for (const length of lengths) {
      const read = () => planConversion(readLegacy(bytes.subarray(0, length)), {})
      let error: unknown
      try {
        read()
      } catch (caught) {
        error = caught
      }
      // Between two tensors it is a smaller file, of which the plan says what is missing.
      const code = ends.has(length) ? 'ERR_MODEL_LEGACY' : 'ERR_MODEL_FORMAT'
      expect(error, `cut at ${length}`).toBeInstanceOf(SottoError)
      expect([length, (error as SottoError).code]).toEqual([length, code])
    }
  })
})

describe('what no file may say', () => {
  const refused: [string, () => Buffer | Promise<Buffer>, string][] = [
    ['nothing', () => Buffer.alloc(0), 'ERR_MODEL_FORMAT'],
    ['another magic', () => Buffer.from('lmgf\x01\0\0\0'), 'ERR_MODEL_FORMAT'],
    ['GGUF', () => Buffer.from('GGUF\x03\0\0\0'), 'ERR_MODEL_FORMAT'],
    ['a LoRA adapter', () => Buffer.from('algg\x01\0\0\0'), 'ERR_MODEL_FORMAT'],
    ['ggjt 0', () => patched(4, 0), 'ERR_MODEL_VERSION'],
    ['ggjt 4', () => patched(4, 4), 'ERR_MODEL_VERSION'],
    ['ggjt 2^31', () => patched(4, 2 ** 31), 'ERR_MODEL_VERSION'],
    [
      'ggmf 2',
      () => Buffer.concat([Buffer.from('fmgg'), ints(2, 1, 1, 1, 1)]),
      'ERR_MODEL_VERSION',
    ],
    ['no vocabulary', () => patched(vocabularyAt, 0), 'ERR_MODEL_FORMAT'],
    ['2^32 − 1 tokens', () => patched(vocabularyAt, 2 ** 32 - 1), 'ERR_MODEL_LIMIT'],
    ['more tokens than bytes', () => patched(vocabularyAt, 2 ** 20), 'ERR_MODEL_FORMAT'],
    ['no width', () => patched(vocabularyAt + 4, 0), 'ERR_MODEL_FORMAT'],
    ['a width of 2^32 − 1', () => patched(vocabularyAt + 4, 2 ** 32 - 1), 'ERR_MODEL_LIMIT'],
    ['no heads', () => patched(vocabularyAt + 12, 0), 'ERR_MODEL_FORMAT'],
    ['heads that do not divide the width', () => patched(vocabularyAt + 12, 7), 'ERR_MODEL_FORMAT'],
    ['no layers', () => patched(vocabularyAt + 16, 0), 'ERR_MODEL_FORMAT'],
    ['513 layers', () => patched(vocabularyAt + 16, 513), 'ERR_MODEL_LIMIT'],
    ['a file type of 99', () => patched(vocabularyAt + 24, 99), 'ERR_MODEL_FORMAT'],
    ['a token of 2^32 − 1 bytes', () => patched(firstTokenAt, 2 ** 32 - 1), 'ERR_MODEL_LIMIT'],
    ['a token of 2^31 bytes', () => patched(firstTokenAt, 2 ** 31), 'ERR_MODEL_LIMIT'],
    [
      'a score that is no number',
      () => patched(firstTokenAt + 4 + whole.readUInt32LE(firstTokenAt), 0x7fc00000),
      'ERR_MODEL_FORMAT',
    ],
    ['no dimensions', () => patched(tensorsAt(), 0), 'ERR_MODEL_FORMAT'],
    ['5 dimensions', () => patched(tensorsAt(), 5), 'ERR_MODEL_LIMIT'],
    ['an empty name', () => patched(tensorsAt() + 4, 0), 'ERR_MODEL_FORMAT'],
    ['a name of 2^32 − 1 bytes', () => patched(tensorsAt() + 4, 2 ** 32 - 1), 'ERR_MODEL_LIMIT'],
    ['a type of 99', () => patched(tensorsAt() + 8, 99), 'ERR_MODEL_UNSUPPORTED'],
    ['a dimension of 0', () => patched(tensorsAt() + 12, 0), 'ERR_MODEL_FORMAT'],
    [
      'dimensions whose product overflows',
      () => patched(tensorsAt() + 12, 2 ** 32 - 1, 2 ** 32 - 1),
      'ERR_MODEL_FORMAT',
    ],
    ['rows that no block divides', () => patched(tensorsAt() + 8, 2, 33), 'ERR_MODEL_FORMAT'],
    [
      'a name that leads elsewhere',
      () => changed({ rename: (name) => name.replace('norm.weight', '../../etc') }),
      'ERR_MODEL_FORMAT',
    ],
    [
      'a name with a NUL',
      () => changed({ rename: (name) => name.replace('norm.weight', 'norm\0') }),
      'ERR_MODEL_FORMAT',
    ],
    [
      'a tensor twice',
      () => changed({ rename: (name) => name.replace('wk', 'wq') }),
      'ERR_MODEL_FORMAT',
    ],
  ]
  it.each(refused)('%s', async (_, make, code) => {
    const bytes = await make()
    await expectCode(code as 'ERR_MODEL_FORMAT', () => readLegacy(bytes))
  })

  const unfit: [string, LegacyChanges, RegExp][] = [
    [
      'a tensor of another family',
      { rename: (name) => name.replace('norm.weight', 'ln_f.g') },
      /get the model as GGUF/,
    ],
    [
      'a tensor that is missing',
      { rename: (name) => name.replace('layers.1.', 'layers.2.') },
      /there is no tensor blk\.1\./,
    ],
    ['a layer too many', { hyperparameters: { layers: 1 } }, /1 layers, found/],
    [
      'half a width, as parts have it',
      { hyperparameters: { embedding: 128, heads: 8 } },
      /one of several parts/,
    ],
    ['a vocabulary of 2', { hyperparameters: { vocabulary: 512, heads: 1 } }, /heads of keys/],
  ]
  it.each(unfit)('%s is refused by the plan', async (_, changes, message) => {
    const model = readLegacy(await changed(changes))
    const error = await expectCode('ERR_MODEL_LEGACY', () => planConversion(model, {}))
    expect(error.message).toMatch(message)
  })

  it('two tokens with one text are refused, and nothing is left', async () => {
    const path = join(folder, 'twins.bin')
    const bytes = Buffer.from(whole)
    // The pieces "a" and "b".
    const at = bytes.indexOf(Buffer.concat([ints(1), Buffer.from('b')]), bytes.indexOf(' the'))
    const plain = bytes.lastIndexOf(Buffer.concat([ints(1), Buffer.from('b')]), tensorsAt())
    bytes[(at < 0 || at > tensorsAt() ? plain : at) + 4] = 'a'.charCodeAt(0)
    writeFileSync(path, bytes)
    const out = join(folder, 'twins.gguf')
    await expectCode('ERR_MODEL_LEGACY', () => convertLegacy(path, out))
    await expectCode('ERR_MODEL_NOT_FOUND', () => readLegacy(out))
  })

  it('frequencies of rotary positions are left out: they follow from the base', async () => {
    const bytes = await changed({
      first: [{ name: 'rope.freqs', dimensions: [8], type: 0, data: Buffer.alloc(32) }],
    })
    const { tensors } = planConversion(readLegacy(bytes), {})
    expect(tensors.some(({ name }) => name.includes('rope'))).toBe(false)
  })

  it('Q4_2 and Q4_3, which were given up, are described and refused', async () => {
    for (const [type, id] of [
      ['Q4_2', 4],
      ['Q4_3', 5],
    ] as const) {
      const data = Buffer.alloc(id === 4 ? 10 : 12)
      const bytes = await changed({
        first: [{ name: 'norm2.weight', dimensions: [16], type: id, data }],
      })
      const model = readLegacy(bytes)
      expect(model.tensors[0]!.type).toBe(type)
      const { message } = await expectCode('ERR_MODEL_LEGACY', () => planConversion(model, {}))
      expect(message).toMatch(/given up/)
    }
  })

  it('limits can be raised, and lowered', async () => {
    await expectCode('ERR_MODEL_LIMIT', () => readLegacy(whole, { tensors: 3 }))
    await expectCode('ERR_MODEL_LIMIT', () => readLegacy(whole, { tokens: 511 }))
  })
})
