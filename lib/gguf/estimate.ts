// estimate.ts: how much memory a model will take, from its metadata alone.

import { tensorTypes } from './format.js'
import { GgufArray, type GgufFile } from './reader.js'

export interface MemoryEstimate {
  /** Bytes of the weights, as they lie in the file. */
  weights: number
  /** Bytes of the KV cache. */
  kv: number
  /** Bytes of intermediate results, roughly. */
  compute: number
  total: number
}

export interface EstimateOptions {
  /** Tokens; the training context limits it. Default 4096. */
  contextSize?: number
  /** Types of the KV cache. Default f16. */
  k?: string
  v?: string
  /** Tokens in a step. Default 512. */
  batchSize?: number
}

/**
 * Estimates the memory of a loaded model.
 *
 * @example
 * ```ts
 * import { estimateMemory, readGguf } from 'sotto/gguf'
 * console.log(estimateMemory(await readGguf('model.gguf'), { contextSize: 8192 }).total)
 * ```
 */
export function estimateMemory(file: GgufFile, options: EstimateOptions = {}): MemoryEstimate {
  const architecture = String(file.metadata.get('general.architecture'))
  const get = (name: string): number | undefined => {
    const value = file.metadata.get(`${architecture}.${name}`)
    const first = value instanceof GgufArray ? Math.max(...(value.toArray() as number[])) : value
    return typeof first === 'number' ? first : undefined
  }
  const weights = file.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)
  const width = get('embedding_length') ?? 0
  const heads = get('attention.head_count') ?? 0
  const kvHeads = get('attention.head_count_kv') ?? heads
  const layers = get('block_count') ?? 0
  const train = get('context_length') ?? Number.POSITIVE_INFINITY
  const context = Math.min(
    options.contextSize ?? 4096,
    options.contextSize === undefined ? train : Number.POSITIVE_INFINITY,
  )
  const cells = Math.ceil(context / 256) * 256
  const keyLength = get('attention.key_length') ?? (heads ? width / heads : 0)
  const valueLength = get('attention.value_length') ?? keyLength
  const causal = file.metadata.get(`${architecture}.attention.causal`) !== false
  const kv = causal
    ? cells *
      layers *
      kvHeads *
      (keyLength * bytesPerElement(options.k) + valueLength * bytesPerElement(options.v))
    : 0
  const tokens = file.metadata.get('tokenizer.ggml.tokens')
  const vocabulary = tokens instanceof GgufArray ? tokens.length : 0
  // The widest layer a few times over for a batch, and the logits of every sequence.
  const batch = Math.min(options.batchSize ?? 512, cells)
  const compute =
    batch * Math.max(width, get('feed_forward_length') ?? 0) * 4 * 6 + vocabulary * 4 * 64
  return { weights, kv, compute, total: weights + kv + compute }
}

function bytesPerElement(type = 'f16'): number {
  const known = tensorTypes.get(type.toUpperCase())
  return known ? known.blockBytes / known.blockSize : 2
}
