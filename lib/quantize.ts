// quantize.ts: a model in smaller weights. Upstream's quantiser cannot be stopped and ends its process over what it did not expect, so it
// runs in a process of its own (quantize-child.ts): an abort kills that, and a crash there is an error here.

import { existsSync, realpathSync, statSync } from 'node:fs'
import { link, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { received, SottoError } from './errors.js'
import type { CopyProgress } from './gguf/copy.js'
import { tensorTypes } from './gguf/format.js'
import { NewFolder } from './gguf/new-folder.js'
import {
  type QuantizationType,
  quantizationTypeOf,
  quantizationTypes,
} from './gguf/quantisation-types.js'
import { checkModelFiles, type ModelFiles, shardPath } from './gguf/shards.js'
import { checkPaths } from './model.js'
import { resolveModel } from './models/store.js'
import {
  abortSignal,
  callback,
  checkOptions,
  flag,
  integer,
  nearestName,
  type OptionRule,
  text,
} from './options.js'
import { quantizeInChild } from './quantize-child.js'

export interface QuantizeOptions {
  /** Stops with `ERR_ABORTED`; what was written is removed. */
  signal?: AbortSignal
  /** Called when a tensor begins, at most once a percent: bytes of the model's tensors that are done. What it throws ends the work. */
  onProgress?: (progress: CopyProgress) => void
  /** An importance matrix of the model, of `makeImatrix` or of llama.cpp's `llama-imatrix`, `.gguf` or `.dat`. Types of under three bits need one. */
  imatrix?: string
  /** Threads that compute, 1 … 512. Default: as many as prompts get. */
  threads?: number
  /** Accept weights that are quantised already. Costs quality. Default false. */
  allowRequantize?: boolean
  /** Every weight in the one type, instead of the mixture that the name stands for. Default false. */
  pure?: boolean
  /** Leave `output.weight` as it is. Default false. */
  leaveOutputTensor?: boolean
  /** Type of `output.weight`, such as `Q8_0` (`tensorTypes` of `sotto/gguf`). Default: the mixture's. */
  outputTensorType?: string
  /** Type of `token_embd.weight`. Default: the mixture's. */
  tokenEmbeddingType?: string
  /** As many shards as the model has: `output` stands before `-00001-of-0000N.gguf`. Default false: one file. */
  keepSplit?: boolean
  /** Write over a file that is there. Default false. */
  overwrite?: boolean
}

export interface QuantizeResult {
  /** The file, or the first shard. */
  path: string
  /** All of it. */
  paths: string[]
  bytes: number
  type: QuantizationType
}

const tensorType: OptionRule<string> = {
  expected: `one of ${[...tensorTypes.keys()].join(', ')}`,
  accepts: (value): value is string =>
    typeof value === 'string' && tensorTypes.has(value.toUpperCase()),
}

/**
 * Writes a model anew with weights of another type, such as `Q4_K_M`: best from F32, F16 or BF16. The input is a name of the store, a path, a
 * first shard, a manifest or a list of all shards. Without `output` the new file is `<model>-<type>.gguf` beside the first. It gets its name when it
 * is whole and has passed the gate of `loadModel`; whatever fails leaves nothing.
 *
 * Runs in a child process of Node (in Electron, of Electron as Node).
 *
 * Errors: `ERR_OPTION_INVALID` (also: no such type, a file `output` is there, weights are quantised already, the type needs an importance matrix),
 * `ERR_OPTION_UNKNOWN`, `ERR_IMATRIX_INVALID`, `ERR_QUANTIZE_FAILED`, `ERR_DISK`, `ERR_ABORTED`, `ERR_MODEL_UNSUPPORTED`, `ERR_NATIVE_MISSING`
 * and those of `checkModelFiles`.
 *
 * @example
 * ```ts
 * import { quantizeModel } from 'sotto'
 * const { path, bytes } = await quantizeModel('model.gguf', 'Q8_0')
 * console.log(path, bytes)
 * ```
 */
export async function quantizeModel(
  input: string | string[],
  type: QuantizationType,
  output?: string,
  given?: QuantizeOptions,
): Promise<QuantizeResult> {
  const options = checkOptions<QuantizeOptions>('options', given, {
    signal: abortSignal(),
    onProgress: callback(),
    imatrix: text(),
    threads: integer(1, 512),
    allowRequantize: flag(),
    pure: flag(),
    leaveOutputTensor: flag(),
    outputTensorType: tensorType,
    tokenEmbeddingType: tensorType,
    keepSplit: flag(),
    overwrite: flag(),
  })
  const kind = checkType(type)
  const named = checkPaths(input)
  if (output !== undefined && (typeof output !== 'string' || output === ''))
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected output to be a path, received ${received(output)}`,
    )
  throwIfAborted(options.signal)
  const source = typeof named === 'string' ? await resolveModel(named) : named
  const model = await checkModelFiles(source)
  const shards = options.keepSplit === true && model.paths.length > 1 ? model.paths.length : 1
  const target = targetOf(
    output ?? defaultOutput(typeof source === 'string' ? source : model.paths[0]!, kind),
    shards,
  )
  checkTargets(target.paths, model, options.overwrite === true)

  const totalBytes = model.whole.tensors.reduce((sum, { bytes }) => sum + bytes, 0)
  const folder = await NewFolder.create(target.paths[0]!)
  try {
    const first = await underUpstreamsNames(model, folder)
    await quantizeInChild(
      {
        folder: folder.path,
        imatrix: options.imatrix,
        threads: options.threads,
        native: {
          input: first,
          output: join(folder.path, target.written),
          fileType: quantizationTypes.get(kind)!,
          outputTensorType: tensorTypeId(options.outputTensorType),
          tokenEmbeddingType: tensorTypeId(options.tokenEmbeddingType),
          allowRequantize: options.allowRequantize ?? false,
          leaveOutputTensor: options.leaveOutputTensor ?? false,
          pure: options.pure ?? false,
          keepSplit: shards > 1,
          elements: elementsOf(model),
        },
      },
      options.signal,
      (fraction) => options.onProgress?.({ bytes: Math.round(fraction * totalBytes), totalBytes }),
    )
    const files = await folder.files((name) => name.startsWith(linkStem))
    await checkWritten(files, model)
    throwIfAborted(options.signal)
    const paths = await folder.giveNames(files)
    const bytes = paths.reduce((sum, path) => sum + statSync(path).size, 0)
    return { path: paths[0]!, paths, bytes, type: kind }
  } catch (error) {
    await folder.discard()
    throw error
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new SottoError('ERR_ABORTED', 'Quantising was aborted', { cause: signal.reason })
}

function checkType(type: unknown): QuantizationType {
  const kind = typeof type === 'string' ? quantizationTypeOf(type) : undefined
  if (kind) return kind
  const names = [...quantizationTypes.keys()]
  const nearest = typeof type === 'string' ? nearestName(type, names) : undefined
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected a type, one of ${names.join(', ')}, received ${received(type)}${nearest ? `: did you mean ${nearest}?` : ''}`,
  )
}

function tensorTypeId(name: string | undefined): number {
  return name === undefined ? -1 : tensorTypes.get(name.toUpperCase())!.id
}

function elementsOf({ whole }: ModelFiles): number {
  return whole.tensors.reduce(
    (sum, { dimensions }) => sum + dimensions.reduce((product, size) => product * size, 1),
    0,
  )
}

/** @internal Beside a model: `model-F16.gguf` becomes `model-Q4_K_M.gguf`. */
export function defaultOutput(path: string, type: string): string {
  const stem = basename(path)
    .replace(/(\.manifest)?\.\w+$/, '')
    .replace(/-\d{5}-of-\d{5}$/, '')
  const [, plain, before] = /^(.+)[-.]([A-Za-z]*\d\w*)$/.exec(stem) ?? []
  const base = before !== undefined && quantizationTypeOf(before) ? plain! : stem
  return join(dirname(path), `${base}-${checkType(type)}.gguf`)
}

/** Where it ends, and what upstream is to be told: of shards it makes the rest of the name. */
function targetOf(output: string, shards: number): { paths: string[]; written: string } {
  const path = resolve(output)
  if (shards === 1) return { paths: [path], written: basename(path) }
  const stem = path.replace(/\.gguf$/, '')
  return {
    paths: Array.from({ length: shards }, (_, i) => shardPath(stem, i, shards)),
    written: basename(stem),
  }
}

function checkTargets(paths: string[], model: ModelFiles, overwrite: boolean): void {
  const inputs = new Set(model.paths.map((path) => realpathSync(path)))
  for (const path of paths) {
    if (!existsSync(path)) continue
    if (inputs.has(realpathSync(path)))
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected output to be another file than the model ${path}`,
      )
    if (!overwrite)
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected no file ${path}, there is one: remove it, or set options.overwrite`,
      )
  }
}

const linkStem = '.input'

// Upstream finds shards by their names and in no other way.
async function underUpstreamsNames({ paths }: ModelFiles, folder: NewFolder): Promise<string> {
  const count = paths.length
  const stem = /^(.*)-00001-of-\d{5}\.gguf$/s.exec(paths[0]!)?.[1]
  if (
    count === 1 ||
    (stem !== undefined && paths.every((path, i) => path === shardPath(stem, i, count)))
  )
    return paths[0]!
  for (const [i, path] of paths.entries()) {
    const name = shardPath(join(folder.path, linkStem), i, count)
    await symlink(resolve(path), name).catch(() => link(path, name)) // Windows lets few users make the first kind
  }
  return shardPath(join(folder.path, linkStem), 0, count)
}

// Upstream's stream does not report every write that fails.
async function checkWritten(files: string[], model: ModelFiles): Promise<void> {
  const { whole } = await checkModelFiles(files.length === 1 ? files[0]! : files).catch(
    (cause: Error) => {
      throw new SottoError(
        'ERR_QUANTIZE_FAILED',
        `What was written is not whole: ${cause.message}`,
        {
          cause,
        },
      )
    },
  )
  if (whole.tensors.length === model.whole.tensors.length) return
  throw new SottoError(
    'ERR_QUANTIZE_FAILED',
    `Expected ${model.whole.tensors.length} tensors to be written, found ${whole.tensors.length}`,
  )
}
