// shards.ts: all files of a model, by its first shard, a manifest or a list, each past the gate and all of them of one piece, before
// native code opens any.

import { existsSync } from 'node:fs'
import { received, SottoError } from '../errors.js'
import { checkModelFile, type GateOptions } from './gate.js'
import { isManifest, readManifest } from './manifest.js'
import { GgufArray, type GgufFile, type GgufTensor } from './reader.js'

/** A tensor of a model in several files. */
export interface ShardTensor extends GgufTensor {
  /** Its file, from 0; `offset` is from the beginning of the data section there. */
  shard: number
}

export interface ModelFiles {
  /** In order. */
  paths: string[]
  /** What each of them says of itself; the first one says what the model is. */
  files: GgufFile[]
  /** The model, as one file would be: the metadata of the first, the tensors of all. */
  whole: GgufFile & { tensors: ShardTensor[] }
}

/** Keys of a shard, as upstream's loader wants them (`split.no` from 0), and two of ours for whoever puts a model together again. */
export const splitKeys = {
  no: 'split.no',
  count: 'split.count',
  tensors: 'split.tensors.count',
  /** Of the first shard: where its tensors, then those of the second, …, stand in the whole. */
  order: 'split.tensors.order',
  /** The same in all shards of a model. */
  source: 'split.source',
} as const

/**
 * Looks at every file of a model: of one file, of a first shard and its siblings `-00002-of-00005.gguf` …, of a manifest, or of a list.
 *
 * Errors: `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`, `ERR_MODEL_FORMAT` (also: shards that do not belong together),
 * `ERR_MODEL_LEGACY`, `ERR_MANIFEST_INVALID`, and those of `readGguf`.
 *
 * @example
 * ```ts
 * import { checkModelFiles, estimateMemory } from 'sotto/gguf'
 * const { paths, whole } = await checkModelFiles('model-00001-of-00004.gguf')
 * console.log(paths.length, whole.tensors.length, estimateMemory(whole).total)
 * ```
 */
export async function checkModelFiles(
  source: string | string[],
  options: GateOptions = {},
): Promise<ModelFiles> {
  let listed = typeof source === 'string' ? undefined : source
  if (typeof source === 'string' && isManifest(source)) listed = (await readManifest(source)).paths
  const path = listed ? listed[0] : (source as string)
  if (path === undefined)
    throw new SottoError('ERR_OPTION_INVALID', 'Expected at least one path, received none')
  const first = await checkModelFile(path, options)
  const count = Math.max(1, shardNumber(first, splitKeys.count) ?? 1)
  const paths = listed ?? siblings(path, first, count)
  if (paths.length !== count)
    throw apart(`${paths.length} files and ${splitKeys.count} ${count} in the first`)
  const files = [first]
  for (const other of paths.slice(1))
    files.push(await checkModelFile(other, { ...options, adapter: true }))
  if (count > 1) checkParts(paths, files)
  const tensors = inOrder(files)
  const fileBytes = files.reduce((sum, file) => sum + file.fileBytes, 0)
  return { paths, files, whole: { ...first, tensors, fileBytes } }
}

function apart(what: string): SottoError {
  return new SottoError(
    'ERR_MODEL_FORMAT',
    `Expected the shards of one model, in order, found ${what}`,
  )
}

// Upstream ends the process over a number of another type.
function shardNumber(file: GgufFile, key: string): number | undefined {
  const value = file.metadata.get(key)
  if (value === undefined) return undefined
  if (typeof value === 'number' && file.types.get(key) === 'uint16') return value
  throw apart(`${key} that is no uint16`)
}

// Upstream finds the others by name too; a missing one would be reported deep inside.
function siblings(path: string, first: GgufFile, count: number): string[] {
  if (count === 1) return [path]
  const index = shardNumber(first, splitKeys.no) ?? 0
  if (index > 0) throw apart(`shard ${index + 1} of ${count}: name the first one`)
  const [, stem, ofCount] = /^(.*)-00001-of-(\d{5})\.gguf$/s.exec(path) ?? []
  if (stem === undefined || Number(ofCount) !== count) {
    throw apart(
      `${splitKeys.count} ${count} in a file that is not called …-00001-of-${fiveDigits(count)}.gguf: give its manifest or the list of all files`,
    )
  }
  const paths = Array.from({ length: count }, (_, i) => shardPath(stem, i, count))
  const missing = paths.find((sibling) => !existsSync(sibling))
  if (missing === undefined) return paths
  throw new SottoError(
    'ERR_MODEL_NOT_FOUND',
    `Expected ${count} shards, there is no ${missing}: get it from where the others came from`,
  )
}

/** @internal The name of a shard, its number from 0, in upstream's manner. */
export function shardPath(stem: string, index: number, count: number): string {
  return `${stem}-${fiveDigits(index + 1)}-of-${fiveDigits(count)}.gguf`
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, '0')
}

function checkParts(paths: string[], files: GgufFile[]): void {
  const first = files[0]!
  const names = new Set<string>()
  files.forEach((file, i) => {
    const what = paths[i]!
    const no = shardNumber(file, splitKeys.no)
    if (no === undefined) throw apart(`no ${splitKeys.no} in ${what}`)
    if (no !== i) throw apart(`shard ${no + 1} in place ${i + 1}: ${what}`)
    const count = shardNumber(file, splitKeys.count)
    if (count !== undefined && count !== files.length)
      throw apart(`a shard of ${count} among ${files.length}: ${what}`)
    if (file.byteOrder !== first.byteOrder) throw apart(`another byte order in ${what}`)
    for (const key of ['general.architecture', splitKeys.source, splitKeys.tensors]) {
      const value = file.metadata.get(key)
      if (value !== undefined && value !== first.metadata.get(key))
        throw apart(`a shard of another model, by its ${key}: ${what}`)
    }
    for (const { name } of file.tensors) {
      if (names.has(name)) throw apart(`the tensor ${received(name)} again in ${what}`)
      names.add(name)
    }
  })
  const expected = first.metadata.get(splitKeys.tensors)
  if (expected !== names.size || names.size === 0)
    throw apart(`${names.size} tensors, ${splitKeys.tensors} says ${String(expected)}`)
}

/** The tensors of all files, as they stood before the model was split where the first shard tells. */
function inOrder(files: GgufFile[]): ShardTensor[] {
  const tensors = files.flatMap((file, shard) =>
    file.tensors.map((tensor) => ({ ...tensor, shard })),
  )
  // One file that upstream's quantiser made of several still says how they stood, and no longer that it is a shard.
  const order = files[0]!.metadata.has(splitKeys.count) && files[0]!.metadata.get(splitKeys.order)
  if (!(order instanceof GgufArray)) return tensors
  const ordered = new Map([...order].map((place, i) => [place, tensors[i]]))
  const placed = tensors.map((_, place) => ordered.get(place))
  if (order.length === tensors.length && placed.every((tensor) => tensor !== undefined))
    return placed
  throw apart(`${splitKeys.order} that does not give each tensor a place of its own`)
}
