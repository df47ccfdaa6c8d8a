// estimate.ts: how much memory a model will take, from its metadata alone.

import { tensorTypes } from './format.js'
import { GgufArray, type GgufFile } from './reader.js'

export interface MemoryEstimate {
  /** Bytes of the weights. In the order of our kernels they take the room that they take in the file. */
  weights: number
  /** Bytes of the KV cache. */
  kv: number
  /** Bytes of a step's intermediate results, of the logits of every answer, of the vocabulary's tables, and of rows that are looked up. */
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
  /** Without flash attention the scores of every head take room. Default true. */
  flashAttention?: boolean
  /** Answers that can have a place in the KV cache at once, finished ones that are remembered included. Default 32. */
  sequences?: number
}

/**
 * Estimates the memory of a loaded model that has computed a full step. Measured over the shapes of the bench, types and sizes of the
 * cache (`npm run bench -- --trial memory`): within 10 % of what the process then has resident.
 *
 * @example
 * ```ts
 * import { estimateMemory, readGguf } from 'sotto/gguf'
 * console.log(estimateMemory(await readGguf('model.gguf'), { contextSize: 8192 }).total)
 * ```
 */
export function estimateMemory(file: GgufFile, options: EstimateOptions = {}): MemoryEstimate {
  const shape = shapeOf(file)
  const { contextSize = Math.min(shape.train, 4096), batchSize = 512, sequences = 32 } = options
  const cells = Math.ceil(contextSize / 256) * 256
  const weights = file.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)
  const kv = shape.causal
    ? cells *
      shape.kvHeads *
      (shape.keyLength * bytesPerElement(options.k) +
        shape.valueLength * bytesPerElement(options.v))
    : 0
  const step = computeBytes(shape, {
    ...{ cells, sequences, batch: Math.min(batchSize, cells) },
    flash: options.flashAttention ?? true,
  })
  const compute = step + rowsRead(file, cells)
  return { weights, kv, compute, total: weights + kv + compute }
}

const page = 4096

// A table that is the output layer too is read where it lies as well when our kernels have their own copy: a page for a token.
function rowsRead({ tensors }: GgufFile, cells: number): number {
  const table = tensors.find(({ name }) => name === 'token_embd.weight')
  const quantised = table && (tensorTypes.get(table.type)?.blockSize ?? 1) > 1
  if (!quantised || tensors.some(({ name }) => name === 'output.weight')) return 0
  return Math.min(table.bytes, cells * page)
}

type Shape = ReturnType<typeof shapeOf>

function shapeOf({ metadata }: GgufFile) {
  const architecture = String(metadata.get('general.architecture'))
  /** One number a layer, where they are not all the same. */
  const get = (name: string): number[] => {
    const value = metadata.get(`${architecture}.${name}`)
    if (value instanceof GgufArray) return value.toArray().map(Number)
    return typeof value === 'number' ? [value] : []
  }
  const largest = (name: string) => {
    const values = get(name)
    return values.length > 0 ? Math.max(...values) : undefined
  }
  const width = largest('embedding_length') ?? 0
  const heads = largest('attention.head_count') ?? 0
  const perLayer = get('attention.head_count_kv')
  const layers = largest('block_count') ?? 0
  const keyLength = largest('attention.key_length') ?? (heads ? width / heads : 0)
  const entries = (name: string) => {
    const list = metadata.get(`tokenizer.ggml.${name}`)
    return list instanceof GgufArray ? list.length : 0
  }
  return {
    heads,
    /** Of all layers together. */
    kvHeads:
      perLayer.length > 1
        ? perLayer.reduce((sum, count) => sum + count)
        : layers * (perLayer[0] ?? heads),
    keyLength,
    valueLength: largest('attention.value_length') ?? keyLength,
    train: largest('context_length') ?? Number.POSITIVE_INFINITY,
    causal: metadata.get(`${architecture}.attention.causal`) !== false,
    widest: Math.max(width, largest('feed_forward_length') ?? 0),
    vocabulary: entries('tokens'),
    merges: entries('merges'),
  }
}

// Upstream lays a graph out so that tensors share room; these factors are what is left of that in measurements.
const widestAlive = 3.7 // tensors of the widest layer that are alive at once, of 32-bit numbers
const scoresAlive = 2.5
const perToken = 40 // of the vocabulary
const perMerge = 140 // two texts and their place in a map
const perModel = 5 * 2 ** 20 // threads, graphs, code that runs for the first time

function computeBytes(
  { widest, heads, vocabulary, merges }: Shape,
  {
    cells,
    batch,
    sequences,
    flash,
  }: { cells: number; batch: number; sequences: number; flash: boolean },
): number {
  const step = batch * widest * 4 * widestAlive
  const mask = batch * cells * (flash ? 2 : 4)
  const scores = flash ? 0 : batch * cells * heads * 4 * scoresAlive
  const logits = vocabulary * 4 * sequences
  return Math.ceil(
    step + mask + scores + logits + vocabulary * perToken + merges * perMerge + perModel,
  )
}

function bytesPerElement(type = 'f16'): number {
  const known = tensorTypes.get(type.toUpperCase())
  return known ? known.blockBytes / known.blockSize : 2
}
