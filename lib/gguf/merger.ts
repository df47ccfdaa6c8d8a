// merger.ts: the shards of a model into one file again.

import { existsSync } from 'node:fs'
import { SottoError } from '../errors.js'
import { abortSignal, callback, checkOptions, object } from '../options.js'
import { type CopyOptions, copyTensors, metadataOf } from './copy.js'
import type { GgufLimits } from './reader.js'
import { checkModelFiles } from './shards.js'

export interface MergeOptions extends CopyOptions {
  /** Limits of the reader, for a model that one trusts. */
  limits?: Partial<GgufLimits>
}

/**
 * Makes one file of a model's shards, by its first, its manifest, or the list of all: the metadata without `split.*`, and every tensor
 * byte for byte. A model that `splitModel` cut has its tensors in their old order again: where its file was laid out as ggml does it, the
 * new one has the same bytes. Uses some megabytes of memory. Nothing is overwritten, and nothing is left when it fails.
 *
 * Errors: `ERR_OPTION_INVALID` (also: there is a file `target`), `ERR_OPTION_UNKNOWN`, `ERR_DISK`, `ERR_ABORTED`, and those of
 * `checkModelFiles`.
 *
 * @example
 * ```ts
 * import { mergeModel } from 'sotto/gguf'
 * const { bytes } = await mergeModel('shards/model.manifest.json', 'merged.gguf')
 * ```
 */
export async function mergeModel(
  source: string | string[],
  target: string,
  given?: MergeOptions,
): Promise<{ path: string; bytes: number }> {
  const options = checkOptions<MergeOptions>('options', given, {
    limits: object('an object of limits'),
    onProgress: callback(),
    signal: abortSignal(),
  })
  const model = await checkModelFiles(source, { limits: options.limits ?? {}, adapter: true })
  if (existsSync(target))
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected no file ${target}, there is one: remove it`,
    )
  const entries = (await metadataOf(model)).map(({ bytes }) => bytes)
  const { tensors } = model.whole
  const { bytes } = await copyTensors(model, [{ path: target, entries, tensors }], options)
  return { path: target, bytes }
}
