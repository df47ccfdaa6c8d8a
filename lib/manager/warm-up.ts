// warm-up.ts: the first token of a model, before anybody waits for it: its weights are then in memory, and it is known to answer.

import { throwIfAborted } from '../abort.js'
import { SottoError } from '../errors.js'
import type { Model } from '../model.js'

/** Errors: `ERR_DECODE_FAILED`, `ERR_MODEL_LOAD` where its numbers are none, and whatever its first answer fails with. */
export async function warmUp(model: Model, signal: AbortSignal | undefined): Promise<void> {
  const answers =
    model.info.contextSize > 0 ? await firstToken(model, signal) : await vector(model, signal)
  throwIfAborted(signal, 'Warming up')
  if (answers) return
  throw new SottoError(
    'ERR_MODEL_LOAD',
    `Expected ${model.info.path} to answer with numbers: its weights are damaged, or not of its architecture`,
  )
}

async function firstToken(model: Model, signal: AbortSignal | undefined): Promise<boolean> {
  const { bos } = model.info
  const { usage } = await model.complete(Int32Array.of(Math.max(bos, 0)), {
    ...{ maxTokens: 1, temperature: 0, ignoreEos: true },
    ...(signal && { signal }),
  }).result
  return usage.tokensGenerated === 1
}

async function vector(model: Model, signal: AbortSignal | undefined): Promise<boolean> {
  const options = signal ? { signal } : {}
  try {
    return (await model.embed('one', options)).every(Number.isFinite)
  } catch (error) {
    if (!(error instanceof SottoError) || error.code !== 'ERR_EMBEDDING_UNSUPPORTED') throw error
    // It ranks.
    return (await model.rerank('one', ['one'], options)).every(({ score }) =>
      Number.isFinite(score),
    )
  }
}
