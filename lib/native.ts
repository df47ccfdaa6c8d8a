// native.ts: loads the addon and declares every native class and function; the only importer of a .node file.
// The declarations mirror the signatures above the bound methods in native/binding; scripts/check-native.mjs compares them.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, errorCodes, SottoError } from './errors.js'

export interface NativeDevice {
  name: string
  description: string
  type: 'cpu' | 'gpu' | 'igpu' | 'accel'
  memoryTotal: number
  memoryFree: number
}

export interface NativeSystemInfo {
  cpu: {
    model: string
    logical: number
    physical: number
    performance: number
    quota: number
    features: string[]
    variant: string
    kernels: string
  }
  devices: NativeDevice[]
  versions: { llama: string; ggml: string; napi: number }
  buildOptions: string[]
}

export interface NativeTensorType {
  name: string
  id: number
  blockSize: number
  blockBytes: number
}

export interface NativeFileDigest {
  /** 64 hex digits, lower case. */
  sha256: string
  bytes: number
}

export interface NativeThreadOptions {
  generation: number
  prompt: number
  affinity: number[]
  priority: number
  poll: number
}

export type NativeSpeculation = 'off' | 'auto' | 'always'

export interface NativeModelOptions {
  paths: string[]
  gpuLayers: number
  devices: string[]
  mmap: boolean
  mlock: boolean
  directRead: boolean
  prefetch: number
  checkTensors: boolean
  adapters: { path: string; scale: number }[]
  upstreamKernels: boolean
  packedPath: string
  contextSize: number
  batchSize: number
  sequences: number
  cachedSequences: number
  queueLimit: number
  cacheTypeK: string
  cacheTypeV: string
  flashAttention: number
  offloadKv: boolean
  prefixCache: boolean
  pooling: string
  speculation: NativeSpeculation
  draftPaths: string[]
  draftPackedPath: string
  draftTokens: number
  threads: NativeThreadOptions
}

/** Which path the weights took. */
export interface NativeKernelInfo {
  /** Instruction set of our kernels, or `off` where ggml's own compute. */
  name: string
  /** Where the packed weights are: in a `file` that all processes share, or in `memory`; empty where none are packed. */
  weights: string
  /** Why they are not in the file that was meant for them; empty where they are. */
  problem: string
  /** Names of the packed weights; every other tensor is used as it lies in the model's file. */
  tensors: string[]
}

export interface NativeModelInfo {
  architecture: string
  name: string
  description: string
  quantisation: string
  parameters: number
  bytes: number
  contextTrain: number
  embeddingLength: number
  layers: number
  heads: number
  headsKv: number
  vocabulary: number
  vocabularyType: string
  bos: number
  eos: number
  eot: number
  recurrent: boolean
  hybrid: boolean
  hasEncoder: boolean
  hasDecoder: boolean
  chatTemplate: string
  supportsTools: boolean
  supportsThinking: boolean
  metadata: Record<string, string>
  kernels: NativeKernelInfo
  contextSize: number
  batchSize: number
  sequences: number
  kvBytes: number
  canShift: boolean
  canSpeculate: boolean
}

/** Every field is required: lib/sampling.ts fills in the defaults. */
export interface NativeSampling {
  order: string[]
  seed: number
  minKeep: number
  temperature: number
  dynatempRange: number
  dynatempExponent: number
  topK: number
  topP: number
  minP: number
  typicalP: number
  topNSigma: number
  xtcProbability: number
  xtcThreshold: number
  dryMultiplier: number
  dryBase: number
  dryAllowedLength: number
  dryPenaltyLastN: number
  drySequenceBreakers: string[]
  mirostat: number
  mirostatTau: number
  mirostatEta: number
  repeatLastN: number
  repeatPenalty: number
  frequencyPenalty: number
  presencePenalty: number
  logitBiasTokens: Int32Array
  logitBiasValues: Float32Array
}

export interface NativeChatInput {
  messages: string
  tools: string
  toolChoice: string
  parallelToolCalls: boolean
  addGenerationPrompt: boolean
  enableThinking: boolean
  template: string
  templateArguments: string
  jsonSchema: string
  grammar: string
}

export interface NativeCompletion {
  id: number
  principal: string
  prompt?: string
  tokens?: Int32Array
  chat?: NativeChatInput
  addSpecial: boolean
  parseSpecial: boolean
  maxTokens: number
  ignoreEos: boolean
  shift: boolean
  stop: string[]
  logprobs: number
  reusePrefix: boolean
  /** The conversation that this is a turn of; 0: none. */
  context: number
  grammar: string
  jsonSchema: string
  speculation: NativeSpeculation | 'default'
  sampling: NativeSampling
}

export interface NativeEmbedding {
  id: number
  principal: string
  rerank: boolean
  query: string
  inputs: string[]
  normalize: boolean
  truncate: boolean
}

export interface NativePin {
  id: number
  /** The tokens that all of them begin with are pinned. */
  chats: NativeChatInput[]
}

export interface NativeTokenLogprob {
  token: number
  logprob: number
  bytes: Uint8Array
}

export interface NativeLogprobs extends NativeTokenLogprob {
  top: NativeTokenLogprob[]
}

export interface NativeResult {
  finishReason: 'stop' | 'length' | 'abort' | 'context'
  stopString: string
  queueMs: number
  promptMs: number
  firstTokenMs: number
  totalMs: number
  tokensPrompt: number
  tokensReused: number
  tokensGenerated: number
  tokensDrafted: number
  tokensAccepted: number
}

/** The kinds of {@link NativeEvents}, in the order of Event::Kind in native/engine/event.h. */
export const NativeEventKind = {
  text: 0, // payload: string
  reasoning: 1, // payload: string
  toolCall: 2, // payload: { index: number, id: string, name: string, arguments: string } (arguments: the next piece)
  logprobs: 3, // payload: NativeLogprobs[]
  vectors: 4, // payload: { data: Float32Array, columns: number }
  done: 5, // payload: NativeResult
  failed: 6, // payload: { code: string, message: string }
  context: 7, // payload: NativeContextNews; its id is a conversation's
} as const

/** What is kept of a conversation. */
export interface NativeContextNews {
  /** In the KV cache; 0: nothing. */
  tokens: number
  bytes: number
  /** There was no room: it waits outside the cache, for its next turn or for `saveContext`. */
  parked: boolean
}

/** All events of one or more steps, flat: [id, kind, payload, id, kind, payload, …]. One array a wake-up, no object a token. */
export type NativeEvents = unknown[]

/** Every field is required: lib/quantize-process.ts fills in the defaults. */
export interface NativeQuantizeOptions {
  input: string
  output: string
  /** llama_ftype */
  fileType: number
  /** ggml_type, or −1 */
  outputTensorType: number
  tokenEmbeddingType: number
  threads: number
  allowRequantize: boolean
  leaveOutputTensor: boolean
  pure: boolean
  keepSplit: boolean
  /** Of all tensors, for the progress. */
  elements: number
  importance: Record<string, Float32Array>
  metadata: Record<string, string | number>
}

export interface NativeTextOptions {
  contextSize: number
  /** 0: all */
  chunks: number
  threads: NativeThreadOptions
}

/** A mean and its standard error. */
export interface NativeEstimate {
  value: number
  error: number
}

export interface NativeEvaluation {
  tokens: number
  scored: number
  chunks: number
  perplexity: NativeEstimate
  comparison?: {
    perplexity: NativeEstimate
    ratio: NativeEstimate
    divergence: NativeEstimate
    divergence99: number
    divergenceMost: number
    agreement: NativeEstimate
  }
}

/** What went into the weights of a model's layers, by tensor: a row of sums of squares for each matrix, and how many rows they are of. */
export interface NativeImportance {
  tensors: Record<string, { squares: Float32Array; counts: Float32Array }>
  chunks: number
}

export interface NativeAbortFlag {
  abort(): void
}

/** A conversation outside the cache. */
export interface NativeContextState {
  tokens(): Int32Array
  byteLength(): number
  read(offset: number, into: Uint8Array): void
  write(offset: number, bytes: Uint8Array): void
  close(): void
}

export interface NativeModel {
  info(): NativeModelInfo
  submit(request: NativeCompletion): void
  embed(request: NativeEmbedding): void
  pin(request: NativePin): void
  unpin(id: number): void
  expectContext(context: number, expected: boolean): void
  dropContext(context: number, wipe: boolean): void
  saveContext(
    context: number,
    evict: boolean,
    wipe: boolean,
  ): Promise<NativeContextState | undefined>
  restoreContext(context: number, principal: string, state: NativeContextState): void
  cancel(id: number): void
  pause(id: number, paused: boolean): void
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Promise<Int32Array>
  detokenize(tokens: Int32Array, special: boolean): string
  applyTemplate(input: NativeChatInput): Promise<string>
  setThreads(threads: NativeThreadOptions): void
  measure(threads: number, tokens: number): Promise<number>
  close(): Promise<void>
}

export interface NativeTensorOperation {
  /** In C, and its parameters without the context, separated by blanks. */
  name: string
  parameters: string
  /** A letter for each parameter: see native/tensor/operations.h. */
  kinds: string
}

export interface NativeTensorInfo {
  type: number
  /** Four dimensions. */
  shape: number[]
  strides: number[]
  contiguous: boolean
  operation: string
}

export interface NativeTensor {
  info(): NativeTensorInfo
  name(): string
  setName(name: string): void
  setRole(role: string): void
  readFloats(): Float32Array
  readBytes(): Uint8Array
  writeFloats(data: Float32Array): void
  writeBytes(data: Uint8Array, offset: number): void
}

export interface NativeTensorGraph {
  expand(tensor: NativeTensor): void
  backward(): void
  gradient(tensor: NativeTensor): NativeTensor | undefined
  reset(): void
  nodes(): number
  compute(threads: number, abort: NativeAbortFlag): Promise<void>
}

export interface NativeTensorContext {
  newTensor(type: number, shape: number[]): NativeTensor
  apply(operation: number, values: unknown[]): NativeTensor
  newGraph(limit: number): NativeTensorGraph
  used(): number
  close(): void
}

export interface NativeBinding {
  AbortFlag: new () => NativeAbortFlag
  TensorContext: new (memSize: number, device: string) => NativeTensorContext
  ContextState: new (tokens: Int32Array, bytes: number) => NativeContextState
  Model: {
    load(
      options: NativeModelOptions,
      onEvents: (events: NativeEvents) => void,
      onProgress: ((fraction: number) => void) | undefined,
      abort: NativeAbortFlag,
    ): Promise<NativeModel>
  }
  systemInfo(): NativeSystemInfo
  tensorTypes(): NativeTensorType[]
  tensorOperations(): NativeTensorOperation[]
  setLogLevel(level: number): void
  hashFile(
    path: string,
    onProgress: ((fraction: number) => void) | undefined,
    abort: NativeAbortFlag,
  ): Promise<NativeFileDigest>
  quantize(options: NativeQuantizeOptions, onProgress: (fraction: number) => void): Promise<void>
  evaluate(
    model: NativeModel,
    other: NativeModel | undefined,
    text: string,
    options: NativeTextOptions,
    onProgress: ((fraction: number) => void) | undefined,
    abort: NativeAbortFlag,
  ): Promise<NativeEvaluation>
  importance(
    model: NativeModel,
    text: string,
    options: NativeTextOptions,
    onProgress: ((fraction: number) => void) | undefined,
    abort: NativeAbortFlag,
  ): Promise<NativeImportance>
  shutdown(): void
}

const require = createRequire(import.meta.url)
const root = join(dirname(fileURLToPath(import.meta.url)), '..')

function loadBinding(): NativeBinding {
  let path: string
  try {
    // SOTTO_ADDON names another build of the addon: one with a sanitizer, a debugger, other backends.
    path = process.env['SOTTO_ADDON'] ?? (require('node-gyp-build').path(root) as string)
  } catch (cause) {
    throw new SottoError(
      'ERR_NATIVE_MISSING',
      `Expected a prebuilt or compiled addon for ${process.platform}-${process.arch}, found none in ${root}. ` +
        'Run "npm rebuild sotto" with a C++20 compiler and cmake on the PATH.',
      { cause },
    )
  }
  try {
    return require(path) as NativeBinding
  } catch (cause) {
    throw new SottoError(
      'ERR_NATIVE_MISSING',
      `The addon ${path} does not load in Node ${process.version}: ${(cause as Error).message}`,
      { cause },
    )
  }
}

let binding: NativeBinding | undefined

/** The addon, loaded at first use: reading a GGUF file or printing help needs no native code. */
export function native(): NativeBinding {
  if (!binding) {
    passThreadsToBlas()
    binding = loadBinding()
    // Before Node tears the environment down it waits for jobs that run; a load must hear first that it should stop.
    process.once('exit', () => binding?.shutdown())
  }
  return binding
}

// A BLAS reads its thread count once, when it is loaded.
function passThreadsToBlas(): void {
  const threads = process.env['OMP_NUM_THREADS']
  if (!threads) return
  process.env['OPENBLAS_NUM_THREADS'] ??= threads.split(',')[0]
  process.env['MKL_NUM_THREADS'] ??= threads.split(',')[0]
}

/** A native failure as the error that users see. */
export function fromNative(error: unknown): unknown {
  if (error instanceof SottoError || !(error instanceof Error)) return error
  const code = (error as Error & { code?: string }).code
  if (!code || !Object.hasOwn(errorCodes, code)) return error
  return new SottoError(code as ErrorCode, error.message, { cause: error })
}
