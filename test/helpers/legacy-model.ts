// legacy-model.ts: LLaMA models with a vocabulary of pieces, as GGUF, and the same in the formats that llama.cpp had before: written as its
// convert.py wrote them.

import { readFileSync, writeFileSync } from 'node:fs'
import { type GgufArray, type GgufEntry, readGguf, writeGguf } from '../../lib/gguf/index.js'
import { tinyModelParts } from '../../scripts/make-tiny-model.mjs'

const words = 'the quick brown fox jumps over lazy dog once upon a time there was'.split(' ')

/** Pieces as GGUF has them: three ends, 256 bytes, and then text with ▁ for a space. */
function pieces(count: number): string[] {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  )
  const text = [
    ...'▁abcdefghijklmnopqrstuvwxyz,.é',
    ...words.flatMap((word) => [`▁${word}`, word.length > 1 ? word : `▁▁${word}`]),
  ]
  const all = [...new Set(['<unk>', '<s>', '</s>', ...bytes, ...text])]
  while (all.length < count) all.push(`▁filler${all.length}`)
  return all
}

/** A tiny model in F32 with such a vocabulary and an output of its own. */
export function writePieceModel(path: string, { seed = 1 } = {}): string {
  const { metadata, tensors } = tinyModelParts({ seed })
  const embedding = tensors.find(({ name }) => name === 'token_embd.weight')!
  const tokens = pieces(512)
  const tokenizer: GgufEntry[] = [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'llama' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'default' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    {
      key: 'tokenizer.ggml.scores',
      type: 'float32',
      value: tokens.map((_, i) => Math.min(0, 259 - i)),
    },
    {
      key: 'tokenizer.ggml.token_type',
      type: 'int32',
      value: tokens.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1)),
    },
    { key: 'tokenizer.ggml.unknown_token_id', type: 'uint32', value: 0 },
    { key: 'tokenizer.ggml.bos_token_id', type: 'uint32', value: 1 },
    { key: 'tokenizer.ggml.eos_token_id', type: 'uint32', value: 2 },
  ]
  writeGguf(
    path,
    [...metadata.filter(({ key }) => !key.startsWith('tokenizer.')), ...tokenizer],
    [...tensors, { ...embedding, name: 'output.weight' }],
  )
  return path
}

export interface LegacyFormat {
  format: 'ggml' | 'ggmf' | 'ggjt'
  version: number
}

const fileTypes: Record<string, number> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
}
const typeIds: Record<string, number> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
}
/** Bytes of a block before version 3. */
const wider: Record<string, number> = { Q4_0: 20, Q4_1: 24, Q8_0: 36 }

const oldNames: [RegExp, string][] = [
  [/^token_embd/, 'tok_embeddings'],
  [/^output_norm/, 'norm'],
  [/^blk\.(\d+)\.attn_norm/, 'layers.$1.attention_norm'],
  [/^blk\.(\d+)\.attn_(q|k|v)\./, 'layers.$1.attention.w$2.'],
  [/^blk\.(\d+)\.attn_output/, 'layers.$1.attention.wo'],
  [/^blk\.(\d+)\.ffn_norm/, 'layers.$1.ffn_norm'],
  [/^blk\.(\d+)\.ffn_gate/, 'layers.$1.feed_forward.w1'],
  [/^blk\.(\d+)\.ffn_down/, 'layers.$1.feed_forward.w2'],
  [/^blk\.(\d+)\.ffn_up/, 'layers.$1.feed_forward.w3'],
]

export interface LegacyChanges {
  hyperparameters?: Partial<
    Record<'vocabulary' | 'embedding' | 'heads' | 'layers' | 'fileType', number>
  >
  rename?: (name: string) => string
  /** Written before the others. */
  first?: { name: string; dimensions: number[]; type: number; data: Buffer }[]
}

/** A model that `writePieceModel` made, perhaps quantised, as a file of an older format: its bytes. */
export async function legacyBytes(
  path: string,
  { format, version }: LegacyFormat,
  { hyperparameters, rename = (name) => name, first = [] }: LegacyChanges = {},
): Promise<Buffer> {
  const { metadata, tensors, dataOffset } = await readGguf(path)
  const data = readFileSync(path)
  const parts: Buffer[] = []
  let size = 0
  const add = (...all: Buffer[]) => {
    for (const part of all) {
      parts.push(part)
      size += part.length
    }
  }
  const ints = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer)
  const number = (key: string) => Number(metadata.get(`llama.${key}`))
  const main = tensors.find(({ name }) => name === 'blk.0.ffn_up.weight')!.type
  const tokens = [...(metadata.get('tokenizer.ggml.tokens') as GgufArray)] as string[]
  const scores = [...(metadata.get('tokenizer.ggml.scores') as GgufArray)] as number[]
  const head = {
    vocabulary: tokens.length,
    embedding: number('embedding_length'),
    heads: number('attention.head_count'),
    layers: number('block_count'),
    fileType: fileTypes[main]!,
    ...hyperparameters,
  }
  add(Buffer.from([...format].reverse().join('')))
  if (format !== 'ggml') add(ints(version))
  add(ints(head.vocabulary, head.embedding, 256, head.heads, head.layers))
  add(ints(number('rope.dimension_count'), head.fileType))
  for (const [i, token] of tokens.entries()) {
    const [, byte] = /^<0x(..)>$/.exec(token) ?? []
    const text = byte
      ? Buffer.from(byte, 'hex')
      : Buffer.from(i === 0 ? ' ⁇ ' : i < 3 ? '' : token.replaceAll('▁', ' '))
    add(ints(text.length), text)
    if (format !== 'ggml') add(Buffer.from(Float32Array.of(scores[i]!).buffer))
  }
  const addTensor = (name: string, dimensions: number[], type: number, bytes: Buffer) => {
    add(ints(dimensions.length, name.length, type, ...dimensions), Buffer.from(name))
    if (format === 'ggjt') add(Buffer.alloc((32 - (size % 32)) % 32))
    add(bytes)
  }
  for (const { name, dimensions, type, data: bytes } of first)
    addTensor(name, dimensions, type, bytes)
  for (const { name, dimensions, type, offset, bytes } of tensors) {
    let old = name
    for (const [pattern, replacement] of oldNames) old = old.replace(pattern, replacement)
    const oldBlocks = (format !== 'ggjt' || version < 3) && Object.hasOwn(wider, type)
    const elements = dimensions.reduce((product, dimension) => product * dimension, 1)
    const its = oldBlocks
      ? Buffer.alloc((elements / 32) * wider[type]!)
      : data.subarray(dataOffset + offset, dataOffset + offset + bytes)
    addTensor(rename(old), dimensions, typeIds[type]!, its)
  }
  return Buffer.concat(parts)
}

export async function writeLegacy(
  path: string,
  source: string,
  format: LegacyFormat,
  changes?: LegacyChanges,
): Promise<string> {
  writeFileSync(path, await legacyBytes(source, format, changes))
  return path
}
