// digest.ts: the SHA-256 of a file, by native code on another thread.

import { statSync } from 'node:fs'
import { SottoError } from './errors.js'
import { checkPath } from './gguf/gate.js'
import { native } from './native.js'
import { nativeJob } from './native-job.js'
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
  const totalBytes = statSync(path).size
  const { signal, onProgress } = options
  return nativeJob(
    {
      signal,
      aborted: 'Reading the file was aborted',
      onProgress:
        onProgress &&
        ((fraction) => onProgress({ bytes: Math.round(fraction * totalBytes), totalBytes })),
    },
    (report, abort) => native().hashFile(path, report, abort),
  )
}
