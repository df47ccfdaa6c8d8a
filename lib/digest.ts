// digest.ts: the SHA-256 of a file, by native code on another thread.

import { statSync } from 'node:fs'
import { onAbort } from './abort.js'
import { SottoError } from './errors.js'
import { checkPath } from './gguf/gate.js'
import { fromNative, native } from './native.js'
import { abortSignal, callback, checkOptions } from './options.js'

export interface DigestProgress {
  bytes: number
  totalBytes: number
}

export interface DigestOptions {
  /** Called at most once a percent. What it throws ends the work, which rejects with it. */
  onProgress?: (progress: DigestProgress) => void
  /** Stops with `ERR_ABORTED`. */
  signal?: AbortSignal
}

export interface FileDigest {
  /** 64 hex digits, lower case: what `sha256sum` prints. */
  sha256: string
  bytes: number
}

/**
 * Reads a file to its end and computes its SHA-256, by the CPU's own instructions where it has them.
 *
 * Errors: `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`, `ERR_ABORTED`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_NATIVE_MISSING`.
 *
 * @example
 * ```ts
 * import { digestFile } from 'sotto'
 * const { sha256, bytes } = await digestFile('model.gguf')
 * console.log(sha256, bytes)
 * ```
 */
export async function digestFile(path: string, given?: DigestOptions): Promise<FileDigest> {
  const options = checkOptions<DigestOptions>('options', given, {
    onProgress: callback(),
    signal: abortSignal(),
  })
  if (typeof path !== 'string')
    throw new SottoError('ERR_OPTION_INVALID', 'Expected path to be a string')
  checkPath(path)
  throwIfAborted(options.signal)
  const totalBytes = statSync(path).size
  const abort = new (native().AbortFlag)()
  const letGoOfSignal = onAbort(options.signal, () => abort.abort())
  const { onProgress } = options
  // Native code must never see an exception. What it reported last may come after the outcome: whoever waits for that has heard enough.
  let thrown: { error: unknown } | undefined
  let ended = false
  const report = (fraction: number) => {
    if (thrown || ended) return
    try {
      onProgress?.({ bytes: Math.round(fraction * totalBytes), totalBytes })
    } catch (error) {
      thrown = { error }
      abort.abort()
    }
  }
  try {
    const digest = await native().hashFile(path, onProgress && report, abort)
    report(1)
    if (thrown) throw thrown.error
    return digest
  } catch (error) {
    throw thrown ? thrown.error : fromNative(error)
  } finally {
    ended = true
    letGoOfSignal()
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new SottoError('ERR_ABORTED', 'Reading the file was aborted', { cause: signal.reason })
}
