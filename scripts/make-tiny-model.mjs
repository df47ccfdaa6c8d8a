// make-tiny-model.mjs: deterministic models for tests and benches: a few hundred kilobytes with a real tokenizer, or the shape of
// a real model with weights that mean nothing (speed does not depend on values). The same options give the same bytes.
//
//   node scripts/make-tiny-model.mjs tiny.gguf [--kind llama|bert|rerank|lora|mamba] [--template chatml|tools|none]
//   node scripts/make-tiny-model.mjs smol.gguf --shape words|experts|smol|oneb|qwen|gemma|sevenb|fifteenb --type Q4_0|Q4_K_M|Q5_K_M|Q6_K|Q8_0|IQ4_NL|F16|BF16

import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { writeGguf } from '../dist/gguf/writer.js'
import { fileTypes, shapes, tensorType } from './model-shapes.mjs'
import { randomBlocks, randomNumbers } from './random-blocks.mjs'

const trainingText = `
The quick brown fox jumps over the lazy dog. Once upon a time there was a little model that lived in a small program and told
stories to whoever asked. It did not know much, but it was quick, and it forgot nothing of what had been said before. The sky is
blue because the air scatters blue light more than red light. The capital of France is Paris, the capital of Italy is Rome. One,
two, three, four, five, six, seven, eight, nine, ten. A token is a piece of a word; a prompt is a list of tokens; an answer is
another one. {"name": "Ada", "age": 36, "likes": ["numbers", "machines"]} Grüße aus Köln, naïve café, 日本語, 🙂.
`.repeat(2)

const specials = [
  '<|endoftext|>',
  '<|im_start|>',
  '<|im_end|>',
  '<think>',
  '</think>',
  '<tool_call>',
  '</tool_call>',
]

const chatml =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

// In the manner of Hermes and Qwen: tools as JSON in the system message, calls as JSON between tags.
const toolsTemplate =
  "{%- if tools %}{{- '<|im_start|>system\\nYou may call functions:\\n<tools>' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}" +
  '{{- \'\\n</tools>\\nAnswer a call with <tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call><|im_end|>\\n\' }}{%- endif %}' +
  "{%- for message in messages %}{%- if message.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}" +
  "{%- elif message.role == 'assistant' and message.tool_calls %}{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}" +
  '{%- for tool_call in message.tool_calls %}{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}' +
  "{{- '\\n<tool_call>\\n{\"name\": \"' + tool_call.name + '\", \"arguments\": ' }}{%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}" +
  "{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}" +
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"

const templates = { chatml, tools: toolsTemplate, none: undefined }

// GPT-2's printable stand-ins for bytes (openai/gpt-2, encoder.py, bytes_to_unicode).
function byteCharacters() {
  const printable = (byte) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let next = 256
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : next++),
  )
}

/** Byte-pair encoding learned from the text above: pieces and merges, most frequent pair first. */
function learnVocabulary(size) {
  const characters = byteCharacters()
  const words = new Map()
  for (const word of trainingText.match(/ ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+/gu)) {
    const pieces = [...Buffer.from(word)].map((byte) => characters[byte]).join('\0')
    words.set(pieces, (words.get(pieces) ?? 0) + 1)
  }
  let corpus = [...words].map(([pieces, count]) => ({ pieces: pieces.split('\0'), count }))
  const vocabulary = [...characters]
  const merges = []
  while (vocabulary.length < size) {
    const pairs = new Map()
    for (const { pieces, count } of corpus) {
      for (let i = 0; i + 1 < pieces.length; i++) {
        const pair = `${pieces[i]} ${pieces[i + 1]}`
        pairs.set(pair, (pairs.get(pair) ?? 0) + count)
      }
    }
    const [best] = [...pairs].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    if (!best || best[1] < 2) break
    const [left, right] = best[0].split(' ')
    merges.push(best[0])
    vocabulary.push(left + right)
    corpus = corpus.map(({ pieces, count }) => {
      const merged = []
      for (let i = 0; i < pieces.length; i++) {
        if (pieces[i] === left && pieces[i + 1] === right) merged.push(pieces[i] + pieces[++i])
        else merged.push(pieces[i])
      }
      return { pieces: merged, count }
    })
  }
  return { vocabulary: [...new Set(vocabulary)], merges }
}

function bpeMetadata(vocabularySize, template) {
  const { vocabulary, merges } = learnVocabulary(500)
  const tokens = [...vocabulary, ...specials]
  while (tokens.length < vocabularySize) tokens.push(`Ġfiller${tokens.length}`)
  const end = tokens.indexOf('<|endoftext|>')
  return {
    tokens,
    entries: [
      { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
      { key: 'tokenizer.ggml.pre', type: 'string', value: 'smollm' },
      { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
      // 1 normal, 3 control, 4 user defined: tags of reasoning and tools are text that is one token
      {
        key: 'tokenizer.ggml.token_type',
        type: 'int32',
        value: tokens.map((token) => (/^<\|/.test(token) ? 3 : specials.includes(token) ? 4 : 1)),
      },
      { key: 'tokenizer.ggml.merges', type: 'string', value: merges },
      { key: 'tokenizer.ggml.bos_token_id', type: 'uint32', value: end },
      { key: 'tokenizer.ggml.eos_token_id', type: 'uint32', value: tokens.indexOf('<|im_end|>') },
      { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: false },
      ...(template ? [{ key: 'tokenizer.chat_template', type: 'string', value: template }] : []),
    ],
  }
}

function floats(count, next) {
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) values[i] = next()
  return new Uint8Array(values.buffer)
}

// Weights that mean nothing but keep activations finite: `spread` around zero, or all ones for norms.
function tensorMaker(seed) {
  const random = randomNumbers(seed)
  return (name, dimensions, spread, type = 'F32') => {
    const count = dimensions.reduce((product, dimension) => product * dimension, 1)
    const bytes =
      type === 'F32'
        ? floats(
            count,
            spread === 'ones'
              ? () => 1
              : spread === 'zeros'
                ? () => 0
                : () => (random() * 2 - 1) * spread,
          )
        : undefined
    return {
      name,
      type,
      dimensions,
      data: () => (bytes ? [bytes] : randomBlocks(type, dimensions, seed)),
    }
  }
}

function llama({ shape = 'tiny', type = 'F32', template = 'chatml', seed = 1 }) {
  const made = shapes[shape]
  const { architecture = 'llama', layers, width, heads, kvHeads, feedForward, vocabulary } = made
  const { entries } = bpeMetadata(
    vocabulary,
    templates[template] ?? (template === 'none' ? undefined : template),
  )
  const tensor = tensorMaker(seed)
  const headSize = made.headSize ?? width / heads
  const qWidth = headSize * heads
  const kvWidth = headSize * kvHeads
  // Larger than trained weights would be: greedy text of a random model then wanders instead of repeating one token.
  const spread = 4 / Math.sqrt(width)
  const tied = !made.untied
  const tensors = [
    tensor(
      'token_embd.weight',
      [width, vocabulary],
      1,
      tensorType(type, 'token_embd', width, { tied }),
    ),
    tensor('output_norm.weight', [width], 'ones'),
  ]
  if (!tied) {
    const outputType = tensorType(type, 'output', width)
    tensors.push(tensor('output.weight', [width, vocabulary], spread, outputType))
  }
  for (let layer = 0; layer < layers; layer++) {
    const add = (name, dimensions) => {
      const group = heads / kvHeads
      const its = tensorType(type, name, dimensions[0], { layer, layers, group, tied })
      tensors.push(tensor(`blk.${layer}.${name}.weight`, dimensions, spread, its))
    }
    const ones = (name, size) => tensors.push(tensor(`blk.${layer}.${name}.weight`, [size], 'ones'))
    for (const name of ['attn_norm', 'ffn_norm', ...(made.norms ?? [])]) ones(name, width)
    for (const name of made.headNorms ?? []) ones(name, headSize)
    add('attn_q', [width, qWidth])
    add('attn_k', [width, kvWidth])
    add('attn_v', [width, kvWidth])
    for (const [name, size] of made.bias
      ? Object.entries({ q: qWidth, k: kvWidth, v: kvWidth })
      : [])
      tensors.push(tensor(`blk.${layer}.attn_${name}.bias`, [size], 0.1))
    add('attn_output', [qWidth, width])
    const planes = made.experts ? [made.experts] : []
    const suffix = made.experts ? '_exps' : ''
    if (made.experts)
      tensors.push(tensor(`blk.${layer}.ffn_gate_inp.weight`, [width, made.experts], spread))
    add(`ffn_gate${suffix}`, [width, feedForward, ...planes])
    add(`ffn_up${suffix}`, [width, feedForward, ...planes])
    add(`ffn_down${suffix}`, [feedForward, width, ...planes])
  }
  const numbers = {
    block_count: layers,
    context_length: made.context,
    embedding_length: width,
    feed_forward_length: feedForward,
    'attention.head_count': heads,
    'attention.head_count_kv': kvHeads,
    ...(made.headSize && { 'attention.key_length': headSize, 'attention.value_length': headSize }),
    ...(made.experts && { expert_count: made.experts, expert_used_count: made.expertsUsed }),
    ...(made.window && { 'attention.sliding_window': made.window }),
  }
  const own = (key, kind, value) => ({ key: `${architecture}.${key}`, type: kind, value })
  return {
    metadata: [
      { key: 'general.architecture', type: 'string', value: architecture },
      { key: 'general.name', type: 'string', value: `${shape} random` },
      { key: 'general.file_type', type: 'uint32', value: fileTypes[type] },
      ...Object.entries(numbers).map(([key, value]) => own(key, 'uint32', value)),
      own('attention.layer_norm_rms_epsilon', 'float32', 1e-5),
      own('rope.dimension_count', 'uint32', headSize),
      own('vocab_size', 'uint32', vocabulary),
      ...entries,
    ],
    tensors,
  }
}

function bert({ rerank = false, seed = 2 }) {
  const width = 32
  const layers = 2
  const feedForward = 64
  const words = [...new Set(trainingText.toLowerCase().match(/[a-z]+/g))].sort().slice(0, 150)
  const letters = [...'abcdefghijklmnopqrstuvwxyz0123456789.,:;!?"\'(){}[]-']
  // WordPiece in GGUF: ▁ marks the beginning of a word.
  const tokens = [
    ...new Set([
      '[PAD]',
      '[UNK]',
      '[CLS]',
      '[SEP]',
      '[MASK]',
      ...letters.map((l) => `▁${l}`),
      ...letters,
      ...words.map((w) => `▁${w}`),
    ]),
  ]
  const tensor = tensorMaker(seed)
  const tensors = [
    tensor('token_embd.weight', [width, tokens.length], 1),
    tensor('token_types.weight', [width, 2], 0.1),
    tensor('position_embd.weight', [width, 128], 0.1),
    tensor('token_embd_norm.weight', [width], 'ones'),
    tensor('token_embd_norm.bias', [width], 'zeros'),
  ]
  for (let i = 0; i < layers; i++) {
    const linear = (name, from, to) =>
      tensors.push(
        tensor(`blk.${i}.${name}.weight`, [from, to], 1 / Math.sqrt(from)),
        tensor(`blk.${i}.${name}.bias`, [to], 'zeros'),
      )
    for (const name of ['attn_q', 'attn_k', 'attn_v', 'attn_output']) linear(name, width, width)
    linear('ffn_up', width, feedForward)
    linear('ffn_down', feedForward, width)
    for (const name of ['attn_output_norm', 'layer_output_norm']) {
      tensors.push(
        tensor(`blk.${i}.${name}.weight`, [width], 'ones'),
        tensor(`blk.${i}.${name}.bias`, [width], 'zeros'),
      )
    }
  }
  if (rerank) {
    tensors.push(tensor('cls.weight', [width, width], 0.5), tensor('cls.bias', [width], 'zeros'))
    tensors.push(
      tensor('cls.output.weight', [width, 1], 1),
      tensor('cls.output.bias', [1], 'zeros'),
    )
  }
  return {
    metadata: [
      { key: 'general.architecture', type: 'string', value: 'bert' },
      { key: 'general.name', type: 'string', value: rerank ? 'tiny reranker' : 'tiny embedder' },
      { key: 'bert.block_count', type: 'uint32', value: layers },
      { key: 'bert.context_length', type: 'uint32', value: 128 },
      { key: 'bert.embedding_length', type: 'uint32', value: width },
      { key: 'bert.feed_forward_length', type: 'uint32', value: feedForward },
      { key: 'bert.attention.head_count', type: 'uint32', value: 4 },
      { key: 'bert.attention.layer_norm_epsilon', type: 'float32', value: 1e-12 },
      { key: 'bert.attention.causal', type: 'bool', value: false },
      { key: 'bert.pooling_type', type: 'uint32', value: rerank ? 4 : 1 },
      { key: 'tokenizer.ggml.model', type: 'string', value: 'bert' },
      { key: 'tokenizer.ggml.pre', type: 'string', value: 'jina-v2-en' },
      { key: 'tokenizer.ggml.token_type_count', type: 'uint32', value: 2 },
      { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
      {
        key: 'tokenizer.ggml.token_type',
        type: 'int32',
        value: tokens.map((token) => (/^\[[A-Z]+\]$/.test(token) ? 3 : 1)),
      },
      { key: 'tokenizer.ggml.bos_token_id', type: 'uint32', value: 2 },
      { key: 'tokenizer.ggml.cls_token_id', type: 'uint32', value: 2 },
      { key: 'tokenizer.ggml.eos_token_id', type: 'uint32', value: 3 },
      { key: 'tokenizer.ggml.seperator_token_id', type: 'uint32', value: 3 },
      { key: 'tokenizer.ggml.padding_token_id', type: 'uint32', value: 0 },
      { key: 'tokenizer.ggml.unknown_token_id', type: 'uint32', value: 1 },
      { key: 'tokenizer.ggml.mask_token_id', type: 'uint32', value: 4 },
    ],
    tensors,
  }
}

function lora({ seed = 3 }) {
  const { layers, width } = shapes.tiny
  const rank = 4
  const tensor = tensorMaker(seed)
  const tensors = []
  for (let i = 0; i < layers; i++) {
    tensors.push(
      tensor(`blk.${i}.attn_q.weight.lora_a`, [width, rank], 0.5),
      tensor(`blk.${i}.attn_q.weight.lora_b`, [rank, width], 0.5),
    )
    tensors.push(
      tensor(`blk.${i}.attn_output.weight.lora_a`, [width, rank], 0.5),
      tensor(`blk.${i}.attn_output.weight.lora_b`, [rank, width], 0.5),
    )
  }
  return {
    metadata: [
      { key: 'general.architecture', type: 'string', value: 'llama' },
      { key: 'general.type', type: 'string', value: 'adapter' },
      { key: 'adapter.type', type: 'string', value: 'lora' },
      { key: 'adapter.lora.alpha', type: 'float32', value: 8 },
    ],
    tensors,
  }
}

// A model without attention: its memory is one state a sequence, of which no part can be kept.
function mamba({ template = 'chatml', seed = 4 }) {
  const { layers, width, context, vocabulary } = shapes.tiny
  const { entries } = bpeMetadata(vocabulary, templates[template] ?? template)
  const inner = 2 * width
  const [state, kernel, rank] = [16, 4, 4]
  const tensor = tensorMaker(seed)
  const tensors = [
    tensor('token_embd.weight', [width, vocabulary], 1),
    tensor('output_norm.weight', [width], 'ones'),
  ]
  for (let i = 0; i < layers; i++) {
    const add = (name, dimensions, spread) =>
      tensors.push(tensor(`blk.${i}.${name}`, dimensions, spread))
    add('attn_norm.weight', [width], 'ones')
    add('ssm_in.weight', [width, 2 * inner], 2 / Math.sqrt(width))
    add('ssm_conv1d.weight', [kernel, inner], 1)
    add('ssm_conv1d.bias', [inner], 0.1)
    add('ssm_x.weight', [inner, rank + 2 * state], 2 / Math.sqrt(inner))
    add('ssm_dt.weight', [rank, inner], 1)
    add('ssm_dt.bias', [inner], 0.1)
    add('ssm_a', [state, inner], 0.5)
    add('ssm_d', [inner], 'ones')
    add('ssm_out.weight', [inner, width], 2 / Math.sqrt(inner))
  }
  const numbers = {
    block_count: layers,
    context_length: context,
    embedding_length: width,
    'ssm.conv_kernel': kernel,
    'ssm.inner_size': inner,
    'ssm.state_size': state,
    'ssm.time_step_rank': rank,
  }
  return {
    metadata: [
      { key: 'general.architecture', type: 'string', value: 'mamba' },
      { key: 'general.name', type: 'string', value: 'tiny recurrent' },
      ...Object.entries(numbers).map(([key, value]) => ({
        key: `mamba.${key}`,
        type: 'uint32',
        value,
      })),
      { key: 'mamba.attention.layer_norm_rms_epsilon', type: 'float32', value: 1e-5 },
      ...entries,
    ],
    tensors,
  }
}

const kinds = {
  llama,
  mamba,
  bert,
  rerank: (options) => bert({ ...options, rerank: true }),
  lora,
}

/** Writes a model. `kind`: llama, mamba, bert, rerank or lora; `template`: chatml, tools, none, or a Jinja text. */
export function makeTinyModel(path, { kind = 'llama', ...options } = {}) {
  const { metadata, tensors } = kinds[kind](options)
  writeGguf(path, metadata, tensors)
  return path
}

/** The parts of a tiny model, for tests that break them. */
export function tinyModelParts({ kind = 'llama', ...options } = {}) {
  return kinds[kind](options)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      kind: { type: 'string' },
      template: { type: 'string' },
      shape: { type: 'string' },
      type: { type: 'string' },
    },
  })
  if (positionals.length !== 1) throw new Error('Expected one path to write to')
  makeTinyModel(positionals[0], values)
}
