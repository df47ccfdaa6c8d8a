// perplexity.ts: how well a model foretells a text, and how far another one is from it.

import { received, SottoError } from './errors.js'
import { loadModel } from './load.js'
import { Model, nativeOf } from './model.js'
import {
  type NativeEstimate,
  type NativeEvaluation,
  type NativeTextOptions,
  native,
} from './native.js'
import { nativeJob } from './native-job.js'
import {
  abortSignal,
  callback,
  checkOptions,
  checkText,
  integer,
  type OptionRules,
} from './options.js'

export interface PerplexityOptions {
  /** Stops with `ERR_ABORTED`, within one step. */
  signal?: AbortSignal
  /** Called with 0 … 1 of a load, where there is one, and then of the measurement. What it throws ends the work. */
  onProgress?: (progress: { fraction: number; phase: 'loading' | 'measuring' }) => void
  /** Tokens of a window, 8 … 2^20. The text must have two. Default 512, which published figures mostly have. */
  contextSize?: number
  /** Most windows of the text, from its beginning. Default: all. */
  chunks?: number
  /** Threads that compute, 1 … 512. Default: as many as the model's prompts get. */
  threads?: number
}

/** A figure and its standard error. */
export interface Estimate {
  value: number
  error: number
}

export interface Perplexity {
  /** e to the mean negative log-likelihood of a token: of so many equally likely tokens, as it were, the model has to choose. */
  perplexity: number
  /** Its standard error. */
  error: number
  /** Tokens of the text. */
  tokens: number
  /** Tokens that were foretold. */
  scored: number
  /** Windows. */
  chunks: number
  contextSize: number
}

export interface Comparison {
  /** Of the first model, which the other is measured by. */
  first: Estimate
  second: Estimate
  /** The second perplexity by the first; its error is that of the difference, token by token, and so much smaller than either's. */
  ratio: Estimate
  /** Mean Kullback-Leibler divergence of the second model's probabilities from the first's, in nats. */
  divergence: Estimate
  /** What 99 of a hundred tokens stay below. */
  divergence99: number
  divergenceMost: number
  /** Share of tokens, 0 … 1, where both models find the same one most likely. */
  agreement: Estimate
  tokens: number
  scored: number
  chunks: number
  contextSize: number
}

/**
 * Measures a model on a text, as `llama-perplexity` of llama.cpp does, so that figures are comparable: the text is cut into windows of
 * `contextSize` tokens, with the model's begin token in place of the first of each where it has one, and what is foretold in the second half
 * of each window counts. A model that is given may go on answering meanwhile; one by name or path is loaded, and closed again. Off the JS thread.
 *
 * Errors: `ERR_TEXT_TOO_SHORT`, `ERR_PROMPT_INVALID`, `ERR_MODEL_UNSUPPORTED` (it does not generate), `ERR_MODEL_CLOSED`, `ERR_MODEL_MEMORY`,
 * `ERR_DECODE_FAILED`, `ERR_ABORTED`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, and those of `loadModel`.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { measurePerplexity } from 'sotto'
 * const { perplexity, error } = await measurePerplexity('model.gguf', readFileSync('text.txt', 'utf8'), { chunks: 8 })
 * console.log(perplexity, error)
 * ```
 */
export async function measurePerplexity(
  model: Model | string | string[],
  text: string,
  given?: PerplexityOptions,
): Promise<Perplexity> {
  const { perplexity, tokens, scored, chunks, contextSize } = await evaluate([model], text, given)
  return {
    perplexity: perplexity.value,
    error: perplexity.error,
    tokens,
    scored,
    chunks,
    contextSize,
  }
}

/**
 * Compares a model with another of the same vocabulary, such as itself before it was quantised, on a text: both go through it side by
 * side as `measurePerplexity` describes, and no more than a step of their output is ever in memory.
 *
 * Errors: `ERR_VOCABULARY_MISMATCH`, and those of `measurePerplexity`.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { compareModels } from 'sotto'
 * const text = readFileSync('text.txt', 'utf8')
 * const { ratio, divergence, agreement } = await compareModels('model.gguf', 'model-Q8_0.gguf', text, { chunks: 8 })
 * console.log(ratio.value, divergence.value, agreement.value)
 * ```
 */
export async function compareModels(
  first: Model | string | string[],
  second: Model | string | string[],
  text: string,
  given?: PerplexityOptions,
): Promise<Comparison> {
  const { perplexity, comparison, tokens, scored, chunks, contextSize } = await evaluate(
    [first, second],
    text,
    given,
  )
  const { perplexity: other, ...differences } = comparison!
  return { first: perplexity, second: other, ...differences, tokens, scored, chunks, contextSize }
}

/** @internal */
export const perplexityOptions: OptionRules<PerplexityOptions> = {
  signal: abortSignal(),
  onProgress: callback(),
  contextSize: integer(8, 2 ** 20),
  chunks: integer(1, 2 ** 31 - 1),
  threads: integer(1, 512),
}

async function evaluate(
  models: (Model | string | string[])[],
  text: string,
  given: PerplexityOptions | undefined,
): Promise<NativeEvaluation & { perplexity: NativeEstimate; contextSize: number }> {
  const options = checkOptions<PerplexityOptions>('options', given, perplexityOptions)
  checkText('text', text)
  return measured(models, options, async ([first, second]) => {
    const windows = textOptions(second ? [first!, second] : [first!], options)
    const found = await measuringJob(options, (report, abort) =>
      native().evaluate(nativeOf(first!), second && nativeOf(second), text, windows, report, abort),
    )
    return { ...found, contextSize: windows.contextSize }
  })
}

/** @internal Runs `work` with models, of which those that are given by name or path are loaded before and closed behind it. */
export async function measured<T>(
  models: (Model | string | string[])[],
  options: Partial<PerplexityOptions>,
  work: (open: Model[]) => Promise<T>,
): Promise<T> {
  const loaded: Model[] = []
  try {
    const open: Model[] = []
    for (const [i, model] of models.entries()) {
      if (model instanceof Model) open.push(model)
      else {
        const own = await load(model, i / models.length, 1 / models.length, options)
        loaded.push(own)
        open.push(own)
      }
    }
    return await work(open)
  } finally {
    for (const model of loaded) await model.close()
  }
}

/** @internal How native code is to go through a text. */
export function textOptions(
  models: Model[],
  { contextSize = 512, chunks = 0, threads }: Partial<PerplexityOptions>,
): NativeTextOptions {
  const most = threads ?? Math.max(...models.map(({ info }) => info.threads.prompt))
  // The pool of models that ask for nothing special.
  const pool = { generation: most, prompt: most, affinity: [], priority: 0, poll: 50 }
  return { contextSize, chunks, threads: pool }
}

/** @internal */
export function measuringJob<T>(
  { signal, onProgress }: Partial<PerplexityOptions>,
  start: Parameters<typeof nativeJob<T>>[1],
): Promise<T> {
  return nativeJob(
    {
      signal,
      aborted: 'The measurement was aborted',
      onProgress: onProgress && ((fraction) => onProgress({ fraction, phase: 'measuring' })),
    },
    start,
  )
}

// With as little beside the weights as can be: what is computed has a context of its own.
function load(
  source: string | string[],
  before: number,
  share: number,
  { signal, onProgress, threads }: Partial<PerplexityOptions>,
): Promise<Model> {
  if (typeof source !== 'string' && !Array.isArray(source))
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected a model, a name or a path, received ${received(source)}`,
    )
  return loadModel(source, {
    contextSize: 256,
    batchSize: 64,
    maxSequences: 1,
    prefixCache: false,
    speculation: false,
    threads,
    signal,
    onProgress:
      onProgress &&
      (({ fraction }) => onProgress({ fraction: before + share * fraction, phase: 'loading' })),
  })
}
