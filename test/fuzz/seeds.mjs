// seeds.mjs: what fuzzing begins with: one small real input of each kind.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeHead } from '../../dist/gguf/head-writer.js'
import { writeStateHeader } from '../../dist/manager/state-header.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'

function models() {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-seed-models-'))
  try {
    return Object.fromEntries(
      ['llama', 'bert', 'rerank'].map((kind) => [
        kind,
        readFileSync(makeTinyModel(join(folder, kind), { kind })),
      ]),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A head of a model as small as the gate takes. */
function head(version, byteOrder) {
  const entries = [
    { key: 'general.architecture', type: 'string', value: 'llama' },
    { key: 'general.alignment', type: 'uint32', value: 32 },
    { key: 'llama.block_count', type: 'uint32', value: 1 },
    { key: 'llama.embedding_length', type: 'uint32', value: 8 },
    { key: 'llama.attention.head_count', type: 'uint32', value: 2 },
    { key: 'llama.rope.freq_base', type: 'float32', value: 10000 },
    { key: 'tokenizer.ggml.model', type: 'string', value: 'llama' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: ['<unk>', '<0x0A>', 'a'] },
    { key: 'tokenizer.ggml.scores', type: 'float32', value: [0, 0, 1] },
    { key: 'tokenizer.ggml.token_type', type: 'int32', value: [2, 6, 1] },
    { key: 'tokenizer.ggml.bos_token_id', type: 'uint32', value: 0 },
    { key: 'tokenizer.chat_template', type: 'string', value: '{{ messages }}' },
  ]
  const tensors = [
    { name: 'token_embd.weight', type: 'F16', dimensions: [8, 3] },
    { name: 'output_norm.weight', type: 'F32', dimensions: [8] },
  ]
  const { bytes } = writeHead({ version, byteOrder, alignment: 32 }, entries, tensors)
  return Buffer.concat([bytes, Buffer.alloc(64 + 32)])
}

export const gguf = () =>
  Object.fromEntries(
    [1, 2, 3].flatMap((version) =>
      ['little', 'big'].map((order) => [`${version}-${order}`, head(version, order)]),
    ),
  )

export const load = () => models()

/** Bytes that the target makes decisions of. */
export const metadata = () =>
  Object.fromEntries(
    Array.from({ length: 16 }, (_, i) => [
      String(i),
      Buffer.from(Array.from({ length: 64 }, (_, j) => (i * 37 + j * (2 * i + 1)) & 255)),
    ]),
  )

export const manifest = () => {
  const sha256 = '0123456789abcdef'.repeat(4)
  return {
    manifest: JSON.stringify({
      format: 'sotto-manifest',
      version: 1,
      shards: [{ name: 'layer-00.bin', bytes: 123, sha256 }],
      signature: 'c2lnbmF0dXJl',
    }),
    list: `# digests\n${sha256}  model.gguf\n\\${sha256} *a\\nb\\\\c\n`,
  }
}

const u32 = (...values) => Buffer.from(Uint32Array.from(values).buffer)
const f32 = (...values) => Buffer.from(Float32Array.from(values).buffer)
const counted = (text) => Buffer.concat([u32(text.length), Buffer.from(text)])

/** A LLaMA of one layer, in each format before GGUF. */
function oldModel(magic, version) {
  const parts = [Buffer.from(magic), ...(version ? [u32(version)] : [])]
  const [width, forward, words] = [32, 32, 4]
  parts.push(u32(words, width, 32, 1, 1, 32, 0))
  for (let i = 0; i < words; i++) {
    parts.push(counted(`w${i}`))
    if (version) parts.push(f32(-i))
  }
  const tensor = (name, ...dimensions) => {
    parts.push(u32(dimensions.length, name.length, 0, ...dimensions), Buffer.from(name))
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    if (magic === 'tjgg') parts.push(Buffer.alloc(-length & 31))
    parts.push(Buffer.alloc(4 * dimensions.reduce((a, b) => a * b, 1)))
  }
  tensor('tok_embeddings.weight', width, words)
  tensor('norm.weight', width)
  tensor('output.weight', width, words)
  for (const name of ['wq', 'wk', 'wv', 'wo'])
    tensor(`layers.0.attention.${name}.weight`, width, width)
  tensor('layers.0.attention_norm.weight', width)
  for (const name of ['w1', 'w2', 'w3']) tensor(`layers.0.feed_forward.${name}.weight`, width, forward)
  tensor('layers.0.ffn_norm.weight', width)
  return Buffer.concat(parts)
}

export const legacy = () => ({
  ggml: oldModel('lmgg', 0),
  ggmf: oldModel('fmgg', 1),
  ggjt1: oldModel('tjgg', 1),
  ggjt3: oldModel('tjgg', 3),
})

export const imatrix = () => {
  const entries = [
    { key: 'general.type', type: 'string', value: 'imatrix' },
    { key: 'imatrix.datasets', type: 'string', value: ['text'] },
    { key: 'imatrix.chunk_count', type: 'uint32', value: 1 },
    { key: 'imatrix.chunk_size', type: 'uint32', value: 512 },
  ]
  const tensors = [
    { name: 'blk.0.attn_q.weight.in_sum2', type: 'F32', dimensions: [8] },
    { name: 'blk.0.attn_q.weight.counts', type: 'F32', dimensions: [1] },
  ]
  const format = { version: 3, byteOrder: 'little', alignment: 32 }
  const { bytes } = writeHead(format, entries, tensors)
  return {
    gguf: Buffer.concat([bytes, f32(1, 2, 3, 4, 5, 6, 7, 8), f32(4), Buffer.alloc(28)]),
    old: Buffer.concat([u32(1), counted('blk.0.attn_q.weight'), u32(4, 8), f32(1, 2, 3, 4, 5, 6, 7, 8), u32(1), counted('text')]),
  }
}

export const stateHeader = () => {
  const its = { messageBytes: 2, stateBytes: 64, tokens: 3, owner: Buffer.alloc(32, 1), model: Buffer.alloc(32, 2) }
  return {
    plain: writeStateHeader({ ...its, encrypted: false }),
    encrypted: writeStateHeader({ ...its, encrypted: true }),
    empty: writeStateHeader({ ...its, encrypted: false, stateBytes: 0, tokens: 0 }),
  }
}
