// seeds.mjs: what fuzzing begins with: one small real input of each kind.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeHead } from '../../dist/gguf/head-writer.js'
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
