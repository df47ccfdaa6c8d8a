// importance.ts: an importance matrix of a model: what quantizeModel weighs its errors by.

import { basename } from 'node:path'
import { received, SottoError } from './errors.js'
import { writeImatrix } from './gguf/imatrix.js'
import { defaultContext, type MeasuringOptions, measure, measuringRules } from './measuring.js'
import type { Model } from './model.js'
import { native } from './native.js'
import { checkOptions, text as textOption } from './options.js'

export interface ImatrixOptions extends MeasuringOptions {
  /** What the text is called in the file. Default: nothing. */
  dataset?: string
}

export interface ImatrixResult {
  path: string
  /** Tensors whose inputs were seen. */
  tensors: number
  /** Tokens of the text that went through the model. */
  tokens: number
  /** Windows. */
  chunks: number
}

/**
 * Measures how much each input of a model's weights matters on a text, and writes that as an importance matrix for `quantizeModel`, in
 * the GGUF form of llama.cpp's `llama-imatrix`, which its `llama-quantize` reads too. The model should be the one that will be quantised, F32,
 * F16 or BF16, the text what it will be used for, some ten thousand tokens or more: it goes through the model in windows of `contextSize`.
 * What is kept of a weight matrix is the sum of the squares of each of its inputs; of the text, nothing.
 *
 * The file is written whole, or not at all; one of that name is replaced. A model that is given may go on answering meanwhile. Off the JS thread.
 *
 * Errors: `ERR_DISK`, and those of `measurePerplexity`.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { makeImatrix, quantizeModel } from 'sotto'
 * const { path } = await makeImatrix('model.gguf', readFileSync('text.txt', 'utf8'), 'model.imatrix.gguf', { chunks: 8 })
 * await quantizeModel('model.gguf', 'Q4_K_M', 'model-Q4_K_M.gguf', { imatrix: path })
 * ```
 */
export async function makeImatrix(
  model: Model | string | string[],
  text: string,
  output: string,
  given?: ImatrixOptions,
): Promise<ImatrixResult> {
  const options = checkOptions<ImatrixOptions>('options', given, {
    ...measuringRules,
    dataset: textOption(),
  })
  if (typeof output !== 'string' || output === '')
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected output to be a path, received ${received(output)}`,
    )
  const chunkSize = options.contextSize ?? defaultContext
  const { tensors, chunks } = await measure([model], text, options, ([only], ...how) =>
    native().importance(only!, ...how),
  )
  const sums = new Map(Object.entries(tensors))
  const dataset = basename(options.dataset ?? '')
  await writeImatrix(output, { tensors: sums, chunks, chunkSize, dataset })
  return { path: output, tensors: sums.size, tokens: chunks * chunkSize, chunks }
}
