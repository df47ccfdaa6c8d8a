// measuring.ts: models that go through a text in windows, for whoever measures them: loaded where they are not, and closed again.

import { received, SottoError } from './errors.js'
import { loadModel } from './load.js'
import { Model, nativeOf } from './model.js'
import type { NativeAbortFlag, NativeModel, NativeTextOptions } from './native.js'
import { nativeJob } from './native-job.js'
import { abortSignal, callback, checkText, integer, type OptionRules } from './options.js'

export interface MeasuringOptions {
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

/** @internal Tokens of a window. */
export const defaultContext = 512

/** @internal */
export const measuringRules: OptionRules<MeasuringOptions> = {
  signal: abortSignal(),
  onProgress: callback(),
  contextSize: integer(8, 2 ** 20),
  chunks: integer(1, 2 ** 31 - 1),
  threads: integer(1, 512),
}

/** @internal `start` gets the models and what native code wants to know of the text. Errors: `ERR_PROMPT_INVALID`, `ERR_ABORTED`, those of a load, and its. */
export async function measure<T>(
  models: (Model | string | string[])[],
  text: string,
  options: Partial<MeasuringOptions>,
  start: (
    models: NativeModel[],
    text: string,
    windows: NativeTextOptions,
    report: ((fraction: number) => void) | undefined,
    abort: NativeAbortFlag,
  ) => Promise<T>,
): Promise<T> {
  checkText('text', text)
  const { signal, onProgress, contextSize = defaultContext, chunks = 0 } = options
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
    const most = options.threads ?? Math.max(...open.map(({ info }) => info.threads.prompt))
    // The pool of models that ask for nothing special.
    const threads = { generation: most, prompt: most, affinity: [], priority: 0, poll: 50 }
    return await nativeJob(
      {
        signal,
        aborted: 'The measurement was aborted',
        onProgress: onProgress && ((fraction) => onProgress({ fraction, phase: 'measuring' })),
      },
      (report, abort) =>
        start(open.map(nativeOf), text, { contextSize, chunks, threads }, report, abort),
    )
  } finally {
    for (const model of loaded) await model.close()
  }
}

// With as little beside the weights as can be: what is computed has a context of its own.
function load(
  source: string | string[],
  before: number,
  share: number,
  { signal, onProgress, threads }: Partial<MeasuringOptions>,
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
