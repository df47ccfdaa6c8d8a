// perplexity.ts: how well a model foretells a text, and how far another one is from it.

import { defaultContext, type MeasuringOptions, measure, measuringRules } from './measuring.js'
import type { Model } from './model.js'
import { type NativeEstimate, type NativeEvaluation, native } from './native.js'
import { checkOptions } from './options.js'

export type PerplexityOptions = MeasuringOptions

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

async function evaluate(
  models: (Model | string | string[])[],
  text: string,
  given: PerplexityOptions | undefined,
): Promise<NativeEvaluation & { perplexity: NativeEstimate; contextSize: number }> {
  const options = checkOptions<PerplexityOptions>('options', given, measuringRules)
  const contextSize = options.contextSize ?? defaultContext
  const found = await measure(models, text, options, ([first, second], ...how) =>
    native().evaluate(first!, second, ...how),
  )
  return { ...found, contextSize }
}
