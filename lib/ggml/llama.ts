// llama.ts: the shape that older bindings of llama.cpp have: parameters, a model, generate. All of it is loadModel's.

import { loadModel } from '../load.js'
import type { Model } from '../model.js'
import { checkOptions, flag, integer, number, text } from '../options.js'
import type { TextPart } from '../token-stream.js'

export interface ModelParamsOptions {
  /** A file, a manifest, or a name of the store. */
  path: string
  /** Tokens of context. Default: as of `loadModel`. */
  nCtx?: number
  /** Most tokens computed in one step. Default 512. */
  nBatch?: number
  /** Threads that compute. Default: found out. */
  nThreads?: number
  /** Layers on a GPU; −1: all. Default −1. */
  nGpuLayers?: number
  /** Map the file instead of reading it. Default true. */
  useMmap?: boolean
  /** Keep the weights from being swapped out. Default false. */
  useMlock?: boolean
}

/**
 * What {@link Llama.load} loads, and how.
 *
 * Errors: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`.
 */
export class ModelParams {
  readonly path: string
  readonly nCtx: number | undefined
  readonly nBatch: number | undefined
  readonly nThreads: number | undefined
  readonly nGpuLayers: number | undefined
  readonly useMmap: boolean | undefined
  readonly useMlock: boolean | undefined

  constructor(given: ModelParamsOptions) {
    const options = checkOptions<ModelParamsOptions>('params', given, {
      path: text(),
      nCtx: integer(1, 2 ** 26),
      nBatch: integer(1, 8192),
      nThreads: integer(1, 512),
      nGpuLayers: integer(-1, 1e5),
      useMmap: flag(),
      useMlock: flag(),
    })
    this.path = options.path ?? ''
    this.nCtx = options.nCtx
    this.nBatch = options.nBatch
    this.nThreads = options.nThreads
    this.nGpuLayers = options.nGpuLayers
    this.useMmap = options.useMmap
    this.useMlock = options.useMlock
  }
}

export interface GenerateOptions {
  /** Most tokens to write. Default 128. */
  nPredict?: number
  /** 0: always the likeliest token. Default 0.8. */
  temp?: number
  /** Default 40. */
  topK?: number
  /** Default 0.95. */
  topP?: number
  /** Default 1.0: none. */
  repeatPenalty?: number
  /** The same seed and prompt give the same text. Default: another one each time. */
  seed?: number
}

/**
 * A model in the classic shape. Its whole interface is that of {@link Model}, which is `llama.model`.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const llama = await ggml.Llama.load(new ggml.ModelParams({ path: 'model.gguf', nCtx: 512, nThreads: 2, useMmap: true }))
 * const tokens = await llama.tokenize('Once upon a time')
 * const text = await llama.generate('Once upon a time', { nPredict: 8, temp: 0 }, (piece) => process.stdout.write(piece))
 * console.log(tokens.length > 0, text.length > 0)
 * await llama.free()
 * ```
 */
export class Llama implements AsyncDisposable {
  private constructor(readonly model: Model) {}

  /** Errors: those of `loadModel`. */
  static async load(params: ModelParams | ModelParamsOptions): Promise<Llama> {
    const { path, nCtx, nBatch, nThreads, nGpuLayers, useMmap, useMlock } =
      params instanceof ModelParams ? params : new ModelParams(params)
    return new Llama(
      await loadModel(path, {
        ...(nCtx !== undefined && { contextSize: nCtx }),
        ...(nBatch !== undefined && { batchSize: nBatch }),
        ...(nThreads !== undefined && { threads: nThreads }),
        ...(nGpuLayers !== undefined && { gpuLayers: nGpuLayers }),
        ...(useMmap !== undefined && { mmap: useMmap }),
        ...(useMlock !== undefined && { mlock: useMlock }),
      }),
    )
  }

  /** Errors: `ERR_PROMPT_INVALID`, `ERR_MODEL_CLOSED`. */
  tokenize(prompt: string): Promise<Int32Array> {
    return this.model.tokenize(prompt)
  }

  /** Writes on. `onToken` gets the text piece by piece; all of it is what comes back. Errors: those of `model.complete`. */
  async generate(
    prompt: string,
    given?: GenerateOptions,
    onToken?: (piece: string) => void,
  ): Promise<string> {
    const options = checkOptions<GenerateOptions>('options', given, {
      nPredict: integer(1, 2 ** 31 - 1),
      temp: number(0, 100),
      topK: integer(0, 2 ** 31 - 1),
      topP: number(0, 1),
      repeatPenalty: number(0, 100),
      seed: integer(0, 2 ** 32 - 1),
    })
    const stream = this.model.complete(prompt, {
      maxTokens: options.nPredict ?? 128,
      temperature: options.temp ?? 0.8,
      topK: options.topK ?? 40,
      topP: options.topP ?? 0.95,
      repeatPenalty: options.repeatPenalty ?? 1,
      ...(options.seed !== undefined && { seed: options.seed }),
    })
    let text = ''
    for await (const part of stream as AsyncIterable<TextPart>) {
      text += part.text
      onToken?.(part.text)
    }
    return text
  }

  /** Stops what is written, and gives the memory back. May be called twice. */
  free(): Promise<void> {
    return this.model.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.free()
  }
}
