// abort.ts: many requests on one AbortSignal. One listener a signal, whatever the number of requests: Node warns of a leak
// from the eleventh on, and a signal that outlives its requests must not collect what they leave.

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
