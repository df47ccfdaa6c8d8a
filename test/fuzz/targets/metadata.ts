// A well-formed model file that contradicts itself: entries and tensors of a tiny model are changed, dropped and doubled. It comes further than random
// bytes do: to what upstream believes of hyperparameters and vocabularies.

import { FuzzedDataProvider } from '@jazzer.js/core'
import { type GgufEntry, tensorBytes } from '../../../lib/gguf/head-writer.js'
import { type GgufTensorSource, writeGguf } from '../../../lib/gguf/writer.js'
import { loadAndAsk, modelPath, projectModule } from './native-model.js'

interface Parts {
  metadata: GgufEntry[]
  tensors: GgufTensorSource[]
}
const maker = projectModule<{ tinyModelParts(options: { kind: string }): Parts }>(
  'scripts/make-tiny-model.mjs',
)
const kinds = ['llama', 'bert', 'rerank']
const architectures = [
  ...[
    'llama',
    'bert',
    'qwen2',
    'qwen3',
    'gemma',
    'gemma2',
    'gemma3',
    'phi3',
    'mamba',
    'rwkv6',
    't5',
    'mpt',
  ],
  ...[
    'falcon',
    'gpt2',
    'bloom',
    'starcoder2',
    'deepseek2',
    'command-r',
    'olmo2',
    'granite',
    'llama4',
    'nomic-bert',
  ],
]
const types = ['F32', 'F16', 'BF16', 'Q4_0', 'Q8_0', 'Q4_K', 'I32', 'TQ1_0', 'MXFP4', 'IQ4_XS']

export async function fuzz(data: Buffer): Promise<void> {
  const given = new FuzzedDataProvider(data)
  const { metadata, tensors } = (await maker).tinyModelParts({ kind: given.pickValue(kinds) })
  let entries = metadata
  if (given.consumeIntegralInRange(0, 3) === 0) {
    const architecture = given.pickValue(architectures)
    const own = String(entries[0]!.value)
    entries = entries.map((entry) =>
      entry.key === 'general.architecture'
        ? { ...entry, value: architecture }
        : { ...entry, key: entry.key.replace(`${own}.`, `${architecture}.`) },
    )
  }
  entries = entries.slice()
  let changed = tensors.slice()
  for (let n = given.consumeIntegralInRange(1, 4); n > 0; n--) {
    const at = given.consumeIntegralInRange(0, entries.length - 1)
    const entry = entries[at]!
    switch (given.consumeIntegralInRange(0, 6)) {
      case 0:
        entries.splice(at, 1)
        break
      case 1:
        entries[at] = { ...entry, key: given.pickValue(entries).key }
        break
      case 2:
        entries[at] = { ...entry, value: otherValue(given, entry) }
        break
      case 3:
        entries.push({
          key: entry.key.replace(/[^.]*$/, given.pickValue(moreKeys)),
          type: 'uint32',
          value: given.consumeIntegral(given.consumeIntegralInRange(1, 4)) >>> 0,
        })
        break
      case 4: {
        const i = given.consumeIntegralInRange(0, changed.length - 1)
        const tensor = changed[i]!
        const dimensions = tensor.dimensions.slice()
        const axis = given.consumeIntegralInRange(0, dimensions.length - 1)
        dimensions[axis] = given.pickValue([
          1,
          32,
          64,
          256,
          dimensions[axis]! * 2,
          dimensions[axis]! / 2,
        ])
        changed[i] = zeros({ ...tensor, dimensions })
        break
      }
      case 5: {
        const i = given.consumeIntegralInRange(0, changed.length - 1)
        changed[i] = zeros({ ...changed[i]!, type: given.pickValue(types) })
        break
      }
      default:
        changed = changed.filter((_, i) => i !== at % changed.length)
    }
  }
  try {
    writeGguf(modelPath, entries, changed)
  } catch {
    return // what cannot be written is nothing to read
  }
  await loadAndAsk()
}

const moreKeys = [
  ...[
    'attention.key_length',
    'attention.value_length',
    'attention.sliding_window',
    'expert_count',
    'expert_used_count',
  ],
  ...[
    'rope.dimension_count',
    'rope.scaling.original_context_length',
    'leading_dense_block_count',
    'vocab_size',
  ],
  ...[
    'ssm.conv_kernel',
    'ssm.state_size',
    'ssm.inner_size',
    'ssm.time_step_rank',
    'attention.q_lora_rank',
  ],
  ...[
    'expert_shared_count',
    'expert_group_count',
    'nextn_predict_layers',
    'pooling_type',
    'attention.causal',
  ],
]

function otherValue(given: FuzzedDataProvider, { type, value }: GgufEntry): GgufEntry['value'] {
  if (Array.isArray(value)) {
    const list = value.slice()
    if (list.length > 0 && given.consumeBoolean()) {
      const at = given.consumeIntegralInRange(0, list.length - 1)
      list[at] = otherValue(given, { key: '', type, value: list[at]! }) as string | number
    } else list.length = given.consumeIntegralInRange(0, list.length)
    return list
  }
  switch (typeof value) {
    case 'string':
      return given.consumeString(given.consumeIntegralInRange(0, 64))
    case 'boolean':
      return !value
    default:
      if (type === 'float32') return given.consumeFloat()
      return (
        given.pickValue([
          0,
          1,
          2,
          3,
          2 ** 31 - 1,
          given.consumeIntegral(2),
          given.consumeIntegral(4) >>> 0,
        ]) | 0
      )
  }
}

function zeros(tensor: GgufTensorSource): GgufTensorSource {
  return {
    ...tensor,
    data: () => [new Uint8Array(tensorBytes(tensor.type, tensor.dimensions))],
  }
}
