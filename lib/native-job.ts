// native-job.ts: native work that reports how far it is and may be stopped, as a promise: one frame for whoever starts some.

import { onAbort } from './abort.js'
import { SottoError } from './errors.js'
import { fromNative, type NativeAbortFlag, native } from './native.js'

export interface NativeJobOptions {
  signal: AbortSignal | undefined
  /** Message of `ERR_ABORTED`. */
  aborted: string
  /** Hears 0 … 1, and 1 at the end. What it throws stops the work, which then rejects with it. */
  onProgress: ((fraction: number) => void) | undefined
}

/** Runs `start` with what native code calls. Errors: `ERR_ABORTED`, and what the work fails with. */
export async function nativeJob<T>(
  { signal, aborted, onProgress }: NativeJobOptions,
  start: (report: ((fraction: number) => void) | undefined, abort: NativeAbortFlag) => Promise<T>,
): Promise<T> {
  if (signal?.aborted) throw new SottoError('ERR_ABORTED', aborted, { cause: signal.reason })
  const abort = new (native().AbortFlag)()
  const letGoOfSignal = onAbort(signal, () => abort.abort())
  // Native code must never see an exception. What it reported last may come after the outcome: whoever waits for that has heard enough.
  let thrown: { error: unknown } | undefined
  let ended = false
  const report = (fraction: number) => {
    if (thrown || ended) return
    try {
      onProgress?.(fraction)
    } catch (error) {
      thrown = { error }
      abort.abort()
    }
  }
  try {
    const outcome = await start(onProgress && report, abort)
    report(1)
    if (thrown) throw thrown.error
    return outcome
  } catch (error) {
    throw thrown ? thrown.error : fromNative(error)
  } finally {
    ended = true
    letGoOfSignal()
  }
}
