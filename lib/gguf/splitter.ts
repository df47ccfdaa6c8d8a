// splitter.ts: one model into many files, cut between layers: what comes before the layers goes with the first, what comes after them
// with the last.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { received, SottoError } from '../errors.js'
import { abortSignal, callback, checkOptions, integer, object, text } from '../options.js'
import { type CopyOptions, copyTensors, metadataOf, type NewShard } from './copy.js'
import type { HeadEntry } from './head-entries.js'
import { align, type GgufEntry } from './head-writer.js'
import { isFileName, type Manifest, mostShards } from './manifest.js'
import type { GgufLimits } from './reader.js'
import {
  checkModelFiles,
  type ModelFiles,
  type ShardTensor,
  shardPath,
  splitKeys,
} from './shards.js'

export interface SplitOptions extends CopyOptions {
  /** How many shards, about equal in bytes: 1 … the number of layers. Default: one a layer. */
  shards?: number
  /** Most bytes of a shard, in place of a number of them. The largest layer must fit. */
  maxBytes?: number
  /**
   * File names with `%d` or `%02d` for the number of the shard, from 0, such as `layer-%02d.bin`; the manifest `<model>.manifest.json` goes
   * with them. Default: `<model>-00001-of-00008.gguf` …, which need none.
   */
  names?: string
  /** Default: the model's. It is made where there is none. */
  folder?: string
  /** Limits of the reader, for a model that one trusts. */
  limits?: Partial<GgufLimits>
}

export interface SplitResult {
  /** The shards, in order. */
  paths: string[]
  /** The manifest of shards with names of their own. */
  manifest?: string
  /** Of all shards. */
  bytes: number
}

/**
 * Cuts a model between its layers into files that load together, and that `mergeModel` makes one of again. Uses some megabytes of
 * memory for a model of any size. Nothing is overwritten, and nothing is left when it fails.
 *
 * Errors: `ERR_OPTION_INVALID` (also: a file of that name is there), `ERR_OPTION_UNKNOWN`, `ERR_DISK`, `ERR_ABORTED`, and those of
 * `checkModelFiles`.
 *
 * @example
 * ```ts
 * import { splitModel } from 'sotto/gguf'
 * const { paths, manifest } = await splitModel('model.gguf', { names: 'layer-%02d.bin', folder: 'shards' })
 * console.log(paths.length, manifest)
 * ```
 */
export async function splitModel(
  source: string | string[],
  given?: SplitOptions,
): Promise<SplitResult> {
  const options = checkOptions<SplitOptions>('options', given, {
    shards: integer(1, mostShards),
    maxBytes: integer(1, Number.MAX_SAFE_INTEGER),
    names: text(),
    folder: text(),
    limits: object('an object of limits'),
    onProgress: callback(),
    signal: abortSignal(),
  })
  if (options.shards !== undefined && options.maxBytes !== undefined)
    throw new SottoError(
      'ERR_OPTION_INVALID',
      'Expected options.shards or options.maxBytes, received both',
    )
  const model = await checkModelFiles(source, { limits: options.limits ?? {}, adapter: true })
  const parts = cut(model, options)
  const folder = options.folder ?? dirname(model.paths[0]!)
  const stem = stemOf(typeof source === 'string' ? source : model.paths[0]!)
  const names = namesOf(options.names, stem, parts.length)
  const manifest = options.names === undefined ? undefined : join(folder, `${stem}.manifest.json`)
  const paths = names.map((name) => join(folder, name))
  const taken = [...paths, ...(manifest ? [manifest] : [])].find((path) => existsSync(path))
  if (taken !== undefined)
    throw new SottoError('ERR_OPTION_INVALID', `Expected no file ${taken}, there is one: remove it`)
  const entries = entriesOf(model, await metadataOf(model), parts)
  const shards: NewShard[] = parts.map((tensors, i) => {
    return { path: paths[i]!, entries: entries[i]!, tensors }
  })
  const { bytes } = await copyTensors(
    model,
    shards,
    options,
    manifest === undefined
      ? undefined
      : { path: manifest, text: (digests) => manifestText(names, digests) },
  )
  return manifest === undefined ? { paths, bytes } : { paths, manifest, bytes }
}

/** Tensors that stay together. */
interface Unit {
  tensors: ShardTensor[]
  /** What they take of a shard at most, their part of its head included. */
  bytes: number
}

function unitOf(tensors: ShardTensor[], alignment: number): Unit {
  // Of a tensor's entry in the head: two lengths, rank, four dimensions, type, place; its place in the whole.
  const bytes = tensors.reduce(
    (sum, { name, bytes }) => sum + align(bytes, alignment) + Buffer.byteLength(name) + 64,
    0,
  )
  return { tensors, bytes }
}

// What every shard has beside tensors: architecture, alignment, the keys of the split, padding.
const headBytes = 1024

function cut({ whole }: ModelFiles, options: Partial<SplitOptions>): ShardTensor[][] {
  const { before, layers, after } = byLayer(whole.tensors)
  const { alignment } = whole
  let parts: Unit[][]
  if (options.maxBytes !== undefined) {
    const units = [before, ...layers, after]
      .filter((tensors) => tensors.length > 0)
      .map((tensors) => unitOf(tensors, alignment))
    const room = options.maxBytes - headBytes - alignment
    // The metadata, a vocabulary among them, is in the first.
    units[0]!.bytes += whole.dataOffset
    const largest = Math.max(...units.map(({ bytes }) => bytes))
    if (largest > room) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected options.maxBytes of at least ${largest + headBytes + alignment}, what the largest layer takes, received ${options.maxBytes}`,
      )
    }
    parts = pack(units, room)
  } else {
    const units = (layers.length > 0 ? layers : [[]]).map((tensors, i, all) =>
      unitOf(
        [...(i === 0 ? before : []), ...tensors, ...(i === all.length - 1 ? after : [])],
        alignment,
      ),
    )
    const count = options.shards ?? units.length
    if (count > units.length) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected options.shards of at most ${units.length}, the number of layers, received ${count}`,
      )
    }
    parts = evenly(units, count)
  }
  return parts.map((units) => units.flatMap(({ tensors }) => tensors))
}

/** The layers in the order they are computed in, and what is none: embeddings before them, norm and output after them. */
function byLayer(tensors: ShardTensor[]): {
  before: ShardTensor[]
  layers: ShardTensor[][]
  after: ShardTensor[]
} {
  const before: ShardTensor[] = []
  const after: ShardTensor[] = []
  // Encoder and decoder count their layers each for themselves.
  const stacks = new Map<string, Map<number, ShardTensor[]>>()
  for (const tensor of tensors) {
    const [, stack, number] = /^((?:\w+\.)*)blk\.(\d+)\./.exec(tensor.name) ?? []
    if (stack === undefined) {
      const last = /^(?:\w+\.)*(?:output|cls)/.test(tensor.name)
      ;(last ? after : before).push(tensor)
      continue
    }
    const layers = stacks.get(stack) ?? new Map<number, ShardTensor[]>()
    const layer = layers.get(Number(number)) ?? []
    layer.push(tensor)
    stacks.set(stack, layers.set(Number(number), layer))
  }
  const layers = [...stacks.values()].flatMap((stack) =>
    [...stack].sort(([a], [b]) => a - b).map(([, layer]) => layer),
  )
  return { before, layers, after }
}

/** Units in order, as many into each part as go into `room`, and into no fewer than `least` parts. */
function pack(units: Unit[], room: number, least = 1): Unit[][] {
  const parts: Unit[][] = []
  let bytes = Number.POSITIVE_INFINITY
  units.forEach((unit, i) => {
    if (bytes + unit.bytes > room || units.length - i <= least - parts.length) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)!.push(unit)
    bytes += unit.bytes
  })
  return parts
}

/** `count` parts, the largest of which is as small as it can be. */
function evenly(units: Unit[], count: number): Unit[][] {
  let low = Math.max(...units.map(({ bytes }) => bytes))
  let high = units.reduce((sum, { bytes }) => sum + bytes, 0)
  while (low < high) {
    const room = Math.floor((low + high) / 2)
    if (pack(units, room).length <= count) high = room
    else low = room + 1
  }
  return pack(units, low, count)
}

function stemOf(path: string): string {
  return basename(path)
    .replace(/(\.manifest)?\.\w+$/, '')
    .replace(/-\d{5}-of-\d{5}$/, '')
}

function namesOf(pattern: string | undefined, stem: string, count: number): string[] {
  if (pattern === undefined)
    return Array.from({ length: count }, (_, i) => basename(shardPath(stem, i, count)))
  const number = /%(?:0(\d))?d/
  const names = Array.from({ length: count }, (_, i) =>
    pattern.replace(number, (_all, width = '0') => String(i).padStart(Number(width), '0')),
  )
  if (number.test(pattern) && names.every(isFileName)) return names
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected options.names to be a file name with %d or %02d in it, without a folder, received ${received(pattern)}`,
  )
}

function entriesOf(
  { whole }: ModelFiles,
  metadata: HeadEntry[],
  parts: ShardTensor[][],
): (GgufEntry | Uint8Array)[][] {
  const places = new Map(whole.tensors.map(({ name }, place) => [name, place]))
  const order = parts.flat().map(({ name }) => places.get(name)!)
  const source = identityOf(metadata, whole.tensors)
  return parts.map((_, i) => [
    ...metadata
      .filter(({ key }) => i === 0 || key === 'general.architecture' || key === 'general.alignment')
      .map(({ bytes }) => bytes),
    { key: splitKeys.no, type: 'uint16', value: i },
    { key: splitKeys.count, type: 'uint16', value: parts.length },
    { key: splitKeys.tensors, type: 'int32', value: order.length },
    { key: splitKeys.source, type: 'string', value: source },
    ...(i === 0 ? [{ key: splitKeys.order, type: 'uint32' as const, value: order }] : []),
  ])
}

// Of two models that say the same of themselves the shards can be exchanged: only digests tell those apart.
function identityOf(metadata: HeadEntry[], tensors: ShardTensor[]): string {
  const hash = createHash('sha256')
  for (const { bytes } of metadata) hash.update(bytes)
  for (const { name, type, dimensions } of tensors) hash.update(`${name}\n${type} ${dimensions}\n`)
  return hash.digest('hex')
}

function manifestText(names: string[], digests: { bytes: number; sha256: string }[]): string {
  const shards = names.map((name, i) => ({ name, ...digests[i]! }))
  return `${JSON.stringify({ format: 'sotto-manifest', version: 1, shards } satisfies Manifest, null, 2)}\n`
}
