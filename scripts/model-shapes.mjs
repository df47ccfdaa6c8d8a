// model-shapes.mjs: the shapes that models are made in, and which type each of their tensors has where a file is of a mixed type.

import { tensorTypes } from '../dist/gguf/format.js'

export const shapes = {
  tiny: {
    layers: 2,
    width: 64,
    heads: 4,
    kvHeads: 2,
    feedForward: 128,
    vocabulary: 512,
    context: 8192,
  },
  // Rows that hold whole blocks of every type
  wide: {
    layers: 1,
    width: 256,
    heads: 4,
    kvHeads: 2,
    feedForward: 256,
    vocabulary: 512,
    context: 8192,
  },
  // A large vocabulary and hardly anything else: for what choosing a token costs
  words: {
    layers: 1,
    width: 32,
    heads: 2,
    kvHeads: 1,
    feedForward: 32,
    vocabulary: 128256,
    context: 8192,
  },
  // A router and four experts a layer
  experts: {
    layers: 2,
    width: 64,
    heads: 4,
    kvHeads: 2,
    feedForward: 96,
    vocabulary: 512,
    context: 8192,
    experts: 4,
    expertsUsed: 2,
  },
  // SmolLM2-135M
  smol: {
    layers: 30,
    width: 576,
    heads: 9,
    kvHeads: 3,
    feedForward: 1536,
    vocabulary: 49152,
    context: 8192,
  },
  // Llama 3.2 1B
  oneb: {
    layers: 16,
    width: 2048,
    heads: 32,
    kvHeads: 8,
    feedForward: 8192,
    vocabulary: 128256,
    context: 8192,
  },
  // Qwen2.5-0.5B: biases, few heads, a large vocabulary
  qwen: {
    architecture: 'qwen2',
    layers: 24,
    width: 896,
    heads: 14,
    kvHeads: 2,
    feedForward: 4864,
    vocabulary: 151936,
    context: 8192,
    bias: true,
  },
  // Gemma 3 1B: heads of 256, norms after and inside attention, a window in five layers of six
  gemma: {
    architecture: 'gemma3',
    layers: 26,
    width: 1152,
    heads: 4,
    kvHeads: 1,
    headSize: 256,
    feedForward: 6912,
    vocabulary: 262144,
    context: 8192,
    window: 512,
    norms: ['post_attention_norm', 'post_ffw_norm'],
    headNorms: ['attn_q_norm', 'attn_k_norm'],
  },
  // Mistral 7B: the output layer is a tensor of its own
  sevenb: {
    layers: 32,
    width: 4096,
    heads: 32,
    kvHeads: 8,
    feedForward: 14336,
    vocabulary: 32000,
    context: 8192,
    untied: true,
  },
  // 67 layers of Mistral 7B: 14.9 B parameters
  fifteenb: {
    layers: 67,
    width: 4096,
    heads: 32,
    kvHeads: 8,
    feedForward: 14336,
    vocabulary: 32000,
    context: 8192,
    untied: true,
  },
}

/** llama.cpp's numbers of file types. */
export const fileTypes = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q4_K_M: 15,
  Q5_K_M: 17,
  Q6_K: 18,
  IQ4_NL: 25,
  BF16: 32,
}

// llama-quant.cpp, use_more_bits: the first and the last eighth of the layers, and every third between.
const sensitive = (layer, layers) =>
  layer < Math.floor(layers / 8) ||
  layer >= Math.floor((7 * layers) / 8) ||
  (layer - Math.floor(layers / 8)) % 3 === 2
const fallback = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' }

// llama-quant.cpp, llama_tensor_get_type_impl: what a mixture gives more bits to.
function mixedType(type, name, { layer, layers, group }) {
  if (type.endsWith('_M') && /^(attn_v|ffn_down)$/.test(name) && sensitive(layer, layers))
    return 'Q6_K'
  if (type === 'IQ4_NL' && name === 'attn_v' && group >= 4) return 'Q5_K'
  if (type === 'IQ4_NL' && name === 'ffn_down' && layer < Math.floor(layers / 8)) return 'Q5_K'
  return type.replace(/_M$/, '')
}

/**
 * The type of a tensor in a file of `type`, as llama.cpp's quantiser assigns it (Q4_0 files keep the Q8_0 output they always had here).
 * `group`: query heads to a KV head.
 */
export function tensorType(
  type,
  name,
  columns,
  { layer = 0, layers = 1, group = 1, tied = true } = {},
) {
  const output = name === 'output' || (name === 'token_embd' && tied)
  let chosen = mixedType(type, name, { layer, layers, group })
  if (output && type === 'Q4_0') chosen = 'Q8_0'
  else if (output && (type.includes('_K') || type === 'IQ4_NL')) chosen = 'Q6_K'
  return columns % tensorTypes.get(chosen).blockSize === 0 ? chosen : fallback[chosen]
}
