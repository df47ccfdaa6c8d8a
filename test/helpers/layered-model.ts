// layered-model.ts: a model file of some layers for tests of shards: the right names, bytes that tell tensors apart, no meaning.

import { type GgufEntry, writeGguf } from '../../lib/gguf/index.js'

export const layeredMetadata: GgufEntry[] = [
  { key: 'general.architecture', type: 'string', value: 'llama' },
  { key: 'general.name', type: 'string', value: 'layered' },
  { key: 'llama.block_count', type: 'uint32', value: 6 },
  { key: 'llama.embedding_length', type: 'uint32', value: 64 },
  { key: 'tokenizer.ggml.model', type: 'string', value: 'none' },
  { key: 'some.list', type: 'string', value: ['x', 'größe', ''] },
]

/** As converters write them: output before the layers, and the layers not in order. */
export const layeredNames = [
  'token_embd.weight',
  'output_norm.weight',
  'output.weight',
  ...[0, 10, 1, 2, 3, 4].flatMap((layer) => [
    `blk.${layer}.attn_q.weight`,
    `blk.${layer}.ffn_up.weight`,
  ]),
]

export function writeLayered(
  path: string,
  {
    metadata = layeredMetadata,
    names = layeredNames,
    alignment = 32,
    columns = 33,
  }: { metadata?: GgufEntry[]; names?: string[]; alignment?: number; columns?: number } = {},
): string {
  const tensors = names.map((name, i) => ({
    name,
    type: 'F32',
    dimensions: [columns, 2],
    data: () => [new Uint8Array(columns * 8).fill(i + 1)],
  }))
  writeGguf(path, metadata, tensors, alignment)
  return path
}
