// outcome.ts: a request of which nobody reads anything before its end, as a promise.

import { onAbort } from './abort.js'
import { type ErrorCode, SottoError } from './errors.js'
import { NativeEventKind, type NativeModel, type NativeResult } from './native.js'
import type { EventTarget, RequestRouter } from './request-router.js'

export interface OutcomeOptions {
  signal: AbortSignal | undefined
  /** Message of `ERR_ABORTED`. */
  aborted: string
  /** Events before the last one. */
  onEvent?: (kind: number, payload: unknown) => void
}

/** Resolves with the request's id and how it ended. Errors: `ERR_ABORTED`, and what the request fails with. */
export function outcome(
  native: NativeModel,
  router: RequestRouter,
  submit: (id: number) => void,
  { signal, aborted, onEvent }: OutcomeOptions,
): Promise<{ id: number; result: NativeResult }> {
  return new Promise((resolve, reject) => {
    const abortError = () => new SottoError('ERR_ABORTED', aborted, { cause: signal?.reason })
    if (signal?.aborted) {
      reject(abortError())
      return
    }
    let letGoOfSignal = () => {}
    let request = 0
    const target = {
      finished: false as boolean,
      accept(kind: number, payload: unknown) {
        if (kind === NativeEventKind.done) {
          end()
          const result = payload as NativeResult
          if (result.finishReason === 'abort') reject(abortError())
          else resolve({ id: request, result })
        } else if (kind === NativeEventKind.failed) {
          const { code, message } = payload as { code: ErrorCode; message: string }
          target.fail(new SottoError(code, message))
        } else {
          onEvent?.(kind, payload)
        }
      },
      fail(error: SottoError) {
        end()
        reject(error)
      },
    } satisfies EventTarget
    const end = () => {
      target.finished = true
      letGoOfSignal()
    }
    router.start(
      () => target,
      (id) => {
        request = id
        letGoOfSignal = onAbort(signal, () => native.cancel(id))
        submit(id)
      },
    )
  })
}
