// abort.ts: many requests on one AbortSignal. One listener a signal, whatever the number of requests: Node warns of a leak
// from the eleventh on, and a signal that outlives its requests must not collect what they leave.

import { SottoError } from './errors.js'

const listening = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls `callback` when `signal` aborts; not when it has already. Returns what takes that back. */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (!signal) return () => {}
  const callbacks = listening.get(signal) ?? listen(signal)
  callbacks.add(callback)
  return () => callbacks.delete(callback)
}

function listen(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>()
  listening.set(signal, callbacks)
  signal.addEventListener(
    'abort',
    () => {
      for (const callback of callbacks) callback()
      callbacks.clear()
    },
    { once: true },
  )
  return callbacks
}

/** Throws `ERR_ABORTED` when the signal has aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted)
    throw new SottoError('ERR_ABORTED', `${what} was aborted`, { cause: signal.reason })
}

/** The promise, or `ERR_ABORTED` as soon as the signal aborts; what the promise stands for goes on. */
export async function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
): Promise<T> {
  throwIfAborted(signal, what)
  let letGo = () => {}
  const aborted = new Promise<never>((_, reject) => {
    letGo = onAbort(signal, () =>
      reject(new SottoError('ERR_ABORTED', `${what} was aborted`, { cause: signal?.reason })),
    )
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    letGo()
  }
}
