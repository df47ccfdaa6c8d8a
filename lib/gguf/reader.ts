// reader.ts: what a GGUF file says of itself, read with memory-safe eyes and tight limits. Reads the head of the file and
// nothing else; a long array stays bytes until somebody asks for its items.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SottoError } from '../errors.js'
import {
  magic,
  tensorTypeNames,
  tensorTypes,
  type ValueType,
  valueBytes,
  valueTypes,
} from './format.js'
import { readFromUrl, type UrlOptions } from './source-url.js'

/** What the reader accepts; each can be raised for a file that one trusts. */
export interface GgufLimits {
  /** Bytes of the head: metadata and tensor table. */
  headBytes: number
  metadataEntries: number
  tensors: number
  keyBytes: number
  stringBytes: number
  arrayItems: number
  alignment: number
  /** Bytes of a tensor's name, without a terminator: ggml keeps 63. */
  nameBytes: number
}

export const defaultLimits: GgufLimits = {
  headBytes: 512 * 2 ** 20,
  metadataEntries: 65536,
  tensors: 65536,
  keyBytes: 4096,
  stringBytes: 16 * 2 ** 20,
  arrayItems: 16 * 2 ** 20,
  alignment: 65536,
  nameBytes: 63,
}

export type GgufScalar = string | number | bigint | boolean

/** An array of the metadata, undecoded. */
export class GgufArray implements Iterable<GgufScalar> {
  /** @internal */
  constructor(
    readonly type: Exclude<ValueType, 'array'>,
    readonly length: number,
    /** @internal The encoded items. */
    readonly bytes: Uint8Array,
    readonly littleEndian: boolean,
    /** @internal Bytes of a string's length: 4 in version 1. */
    readonly lengthBytes: 4 | 8,
  ) {}

  *[Symbol.iterator](): Generator<GgufScalar> {
    const view = viewOf(this.bytes)
    let at = 0
    for (let i = 0; i < this.length; i++) {
      if (this.type === 'string') {
        const length = stringLength(view, at, this.littleEndian, this.lengthBytes)
        at += this.lengthBytes
        yield decoder.decode(this.bytes.subarray(at, at + length))
        at += length
      } else {
        yield readScalar(view, at, this.type, this.littleEndian)
        at += valueBytes[this.type]
      }
    }
  }

  toArray(): GgufScalar[] {
    return [...this]
  }
}

export type GgufValue = GgufScalar | GgufArray

export interface GgufTensor {
  name: string
  /** A key of `tensorTypes`. */
  type: string
  /** Elements a dimension, fastest first; 1 to 4 of them. */
  dimensions: number[]
  /** From the beginning of the data section. */
  offset: number
  bytes: number
}

export interface GgufFile {
  /** 1, 2 or 3. */
  version: number
  byteOrder: 'little' | 'big'
  alignment: number
  metadata: Map<string, GgufValue>
  /** Types of the metadata values; of an array, of its items. */
  types: Map<string, ValueType>
  tensors: GgufTensor[]
  /** Where the data section begins. */
  dataOffset: number
  fileBytes: number
}

const decoder = new TextDecoder()

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function stringLength(
  view: DataView,
  at: number,
  littleEndian: boolean,
  lengthBytes: 4 | 8,
): number {
  if (lengthBytes === 4) return view.getUint32(at, littleEndian)
  return Number(view.getBigUint64(at, littleEndian))
}

function readScalar(
  view: DataView,
  at: number,
  type: Exclude<ValueType, 'array' | 'string'>,
  little: boolean,
): GgufScalar {
  switch (type) {
    case 'uint8':
      return view.getUint8(at)
    case 'int8':
      return view.getInt8(at)
    case 'uint16':
      return view.getUint16(at, little)
    case 'int16':
      return view.getInt16(at, little)
    case 'uint32':
      return view.getUint32(at, little)
    case 'int32':
      return view.getInt32(at, little)
    case 'float32':
      return view.getFloat32(at, little)
    case 'bool':
      return view.getUint8(at) !== 0
    case 'uint64':
      return narrow(view.getBigUint64(at, little))
    case 'int64':
      return narrow(view.getBigInt64(at, little))
    case 'float64':
      return view.getFloat64(at, little)
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** @internal Bytes of the head, fetched as they are needed. */
export interface Source {
  readonly fileBytes: number
  /** At least `end` bytes from the beginning of the file; fewer only at its end. */
  upTo(end: number): Uint8Array
}

class BufferSource implements Source {
  readonly fileBytes: number
  readonly #bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.fileBytes = bytes.byteLength
  }
  upTo(): Uint8Array {
    return this.#bytes
  }
}

class FileSource implements Source {
  readonly fileBytes: number
  readonly #descriptor: number
  #buffer = Buffer.alloc(0)
  constructor(descriptor: number) {
    this.#descriptor = descriptor
    this.fileBytes = fstatSync(descriptor).size
  }
  upTo(end: number): Uint8Array {
    if (end <= this.#buffer.length) return this.#buffer
    const wanted = Math.min(Math.max(end, this.#buffer.length * 2, 2 ** 22), this.fileBytes)
    if (wanted <= this.#buffer.length) return this.#buffer
    const grown = Buffer.allocUnsafe(wanted)
    this.#buffer.copy(grown)
    let filled = this.#buffer.length
    while (filled < wanted) {
      const count = readSync(this.#descriptor, grown, filled, wanted - filled, filled)
      if (count === 0) break // the file shrank under us: what is missing is truncation
      filled += count
    }
    this.#buffer = grown.subarray(0, filled)
    return this.#buffer
  }
}

/**
 * Reads the head of a GGUF file: versions 1 to 3, either byte order, from a path, from bytes, or from a URL by range requests.
 *
 * Errors: `ERR_MODEL_FORMAT` (not GGUF, truncated, contradicts itself), `ERR_MODEL_VERSION`, `ERR_MODEL_LIMIT`,
 * `ERR_MODEL_UNSUPPORTED` (a tensor type this build does not know); from a URL also `ERR_DOWNLOAD_FAILED`, `ERR_ABORTED`.
 *
 * @example
 * ```ts
 * import { readGguf } from 'sotto/gguf'
 * const { metadata, tensors } = await readGguf('model.gguf')
 * console.log(metadata.get('general.architecture'), tensors.length)
 * ```
 */
export async function readGguf(
  source: string | URL | Uint8Array,
  limits?: Partial<GgufLimits>,
  options: UrlOptions = {},
): Promise<GgufFile> {
  const read = (from: Source) => new HeadReader(from, { ...defaultLimits, ...limits }).read()
  if (source instanceof Uint8Array) return read(new BufferSource(source))
  if (source instanceof URL && source.protocol !== 'file:')
    return readFromUrl(source, options, read)
  const descriptor = openSync(source instanceof URL ? fileURLToPath(source) : source, 'r')
  try {
    return read(new FileSource(descriptor))
  } finally {
    closeSync(descriptor)
  }
}

class HeadReader {
  readonly #source: Source
  readonly #limits: GgufLimits
  #bytes: Uint8Array
  #view: DataView
  #at = 0
  #little = true
  #lengthBytes: 4 | 8 = 8

  constructor(source: Source, limits: GgufLimits) {
    this.#source = source
    this.#limits = limits
    this.#bytes = source.upTo(24)
    this.#view = viewOf(this.#bytes)
  }

  read(): GgufFile {
    const { version } = this.#readStart()
    const tensorCount = this.#count('tensors', this.#limits.tensors)
    const entryCount = this.#count('metadata entries', this.#limits.metadataEntries)
    const metadata = new Map<string, GgufValue>()
    const types = new Map<string, ValueType>()
    for (let i = 0; i < entryCount; i++) {
      const key = this.#string('a metadata key', this.#limits.keyBytes)
      if (key === '') throw this.#broken('an empty metadata key')
      if (metadata.has(key)) throw this.#broken(`the metadata key ${quoted(key)} twice`)
      const [value, type] = this.#value(key)
      metadata.set(key, value)
      types.set(key, type)
    }
    const alignment = this.#readAlignment(metadata)
    const tensors = this.#readTensors(tensorCount)
    const dataOffset = Math.ceil(this.#at / alignment) * alignment
    const file: GgufFile = {
      version,
      byteOrder: this.#little ? 'little' : 'big',
      alignment,
      metadata,
      types,
      tensors,
      dataOffset,
      fileBytes: this.#source.fileBytes,
    }
    checkPlaces(file)
    return file
  }

  #readStart(): { version: number } {
    this.#need(8, 'the header')
    if (this.#view.getUint32(0, true) !== magic) throw this.#broken('no GGUF magic number')
    this.#at = 4
    let version = this.#view.getUint32(4, true)
    // A big-endian file keeps the letters of the magic and turns the numbers around.
    if (version > 0xffff) {
      this.#little = false
      version = this.#view.getUint32(4, false)
    }
    if (version < 1 || version > 3) {
      throw new SottoError(
        'ERR_MODEL_VERSION',
        `Expected GGUF version 1, 2 or 3, received ${this.#view.getUint32(4, true)}` +
          (version > 3 && version < 1000 ? ': a newer sotto may read it' : ''),
      )
    }
    this.#at = 8
    this.#lengthBytes = version === 1 ? 4 : 8
    return { version }
  }

  #need(bytes: number, what: string): void {
    const end = this.#at + bytes
    if (end > this.#limits.headBytes) {
      throw new SottoError(
        'ERR_MODEL_LIMIT',
        `Expected a head of at most ${this.#limits.headBytes} bytes, ${what} goes beyond it`,
      )
    }
    if (end > this.#bytes.length) {
      this.#bytes = this.#source.upTo(end)
      this.#view = viewOf(this.#bytes)
    }
    if (end > this.#bytes.length) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `The file is truncated: ${what} needs ${end} bytes, the file has ${this.#source.fileBytes}. Download it again`,
      )
    }
  }

  #length(what: string, most: number): number {
    this.#need(this.#lengthBytes, what)
    const value =
      this.#lengthBytes === 4
        ? BigInt(this.#view.getUint32(this.#at, this.#little))
        : this.#view.getBigUint64(this.#at, this.#little)
    this.#at += this.#lengthBytes
    if (value > BigInt(most)) {
      throw new SottoError(
        'ERR_MODEL_LIMIT',
        `Expected ${what} of at most ${most}, received ${value}`,
      )
    }
    return Number(value)
  }

  #count(what: string, most: number): number {
    return this.#length(`a number of ${what}`, most)
  }

  #string(what: string, most: number): string {
    const length = this.#length(`${what} in bytes`, most)
    this.#need(length, what)
    const text = decoder.decode(this.#bytes.subarray(this.#at, this.#at + length))
    this.#at += length
    return text
  }

  #type(what: string): ValueType {
    this.#need(4, what)
    const number = this.#view.getUint32(this.#at, this.#little)
    this.#at += 4
    const type = valueTypes[number]
    if (!type) throw this.#broken(`the unknown value type ${number} for ${what}`)
    return type
  }

  #value(key: string): [GgufValue, ValueType] {
    const what = quoted(key)
    const type = this.#type(what)
    if (type === 'string') return [this.#string(what, this.#limits.stringBytes), type]
    if (type === 'array') return this.#array(what)
    this.#need(valueBytes[type], what)
    const value = readScalar(this.#view, this.#at, type, this.#little)
    this.#at += valueBytes[type]
    return [value, type]
  }

  #array(what: string): [GgufArray, ValueType] {
    const type = this.#type(what)
    if (type === 'array') throw this.#broken(`an array of arrays for ${what}`)
    const length = this.#length(`items of ${what}`, this.#limits.arrayItems)
    const start = this.#at
    if (type === 'string') {
      for (let i = this.#skipStrings(length); i < length; i++) {
        const bytes = this.#length(`a string of ${what} in bytes`, this.#limits.stringBytes)
        this.#need(bytes, what)
        this.#at += bytes
        i += this.#skipStrings(length - i - 1)
      }
    } else {
      this.#need(length * valueBytes[type], what)
      this.#at += length * valueBytes[type]
    }
    return [
      new GgufArray(
        type,
        length,
        this.#bytes.subarray(start, this.#at),
        this.#little,
        this.#lengthBytes,
      ),
      type,
    ]
  }

  // Goes over strings that are in memory and within the limit, and stops before the first that is not: a vocabulary has hundreds of
  // thousands, and this is all that is done with them here. Returns how many they were.
  #skipStrings(most: number): number {
    const bytes = this.#bytes
    const view = this.#view
    const end = bytes.length
    const longest = Math.min(this.#limits.stringBytes, this.#limits.headBytes)
    const lengthBytes = this.#lengthBytes
    const little = this.#little
    let at = this.#at
    let skipped = 0
    for (; skipped < most && at + lengthBytes <= end; skipped++) {
      const low = view.getUint32(lengthBytes === 8 && !little ? at + 4 : at, little)
      if (lengthBytes === 8 && view.getUint32(little ? at + 4 : at, little) !== 0) break
      const next = at + lengthBytes + low
      if (low > longest || next > end || next > this.#limits.headBytes) break
      at = next
    }
    this.#at = at
    return skipped
  }

  #readAlignment(metadata: Map<string, GgufValue>): number {
    const alignment = metadata.get('general.alignment') ?? 32
    if (typeof alignment !== 'number' || alignment < 1 || !Number.isInteger(Math.log2(alignment))) {
      throw this.#broken(
        `general.alignment ${quoted(String(alignment))}, which is not a power of two`,
      )
    }
    if (alignment > this.#limits.alignment) {
      throw new SottoError(
        'ERR_MODEL_LIMIT',
        `Expected general.alignment of at most ${this.#limits.alignment}, received ${alignment}`,
      )
    }
    return alignment
  }

  #readTensors(count: number): GgufTensor[] {
    const tensors: GgufTensor[] = []
    const names = new Set<string>()
    for (let i = 0; i < count; i++) {
      const name = this.#string('a tensor name', this.#limits.nameBytes)
      if (name === '' || name.includes('\0')) throw this.#broken(`the tensor name ${quoted(name)}`)
      if (names.has(name)) throw this.#broken(`the tensor ${quoted(name)} twice`)
      names.add(name)
      tensors.push(this.#readTensor(name))
    }
    return tensors
  }

  #readTensor(name: string): GgufTensor {
    const what = `tensor ${quoted(name)}`
    this.#need(4, what)
    const rank = this.#view.getUint32(this.#at, this.#little)
    this.#at += 4
    if (rank < 1 || rank > 4) throw this.#broken(`${rank} dimensions for ${what}`)
    const dimensions: number[] = []
    let elements = 1
    for (let i = 0; i < rank; i++) {
      const dimension = this.#length(`a dimension of ${what}`, Number.MAX_SAFE_INTEGER)
      dimensions.push(dimension)
      elements *= dimension
    }
    if (dimensions.some((dimension) => dimension < 1))
      throw this.#broken(`an empty dimension in ${what}`)
    if (!Number.isSafeInteger(elements))
      throw this.#broken(`more elements than can be counted in ${what}`)
    this.#need(12, what)
    const id = this.#view.getUint32(this.#at, this.#little)
    const offset = this.#view.getBigUint64(this.#at + 4, this.#little)
    this.#at += 12
    const typeName = tensorTypeNames.get(id)
    if (!typeName) {
      throw new SottoError(
        'ERR_MODEL_UNSUPPORTED',
        `Expected a tensor type that this build knows, ${what} has number ${id}: a newer sotto may read it`,
      )
    }
    const { blockSize, blockBytes } = tensorTypes.get(typeName)!
    if (dimensions[0]! % blockSize !== 0)
      throw this.#broken(
        `rows of ${dimensions[0]} elements in ${what}, which ${typeName} cannot divide`,
      )
    const bytes = (elements / blockSize) * blockBytes
    if (offset > BigInt(Number.MAX_SAFE_INTEGER) || !Number.isSafeInteger(bytes))
      throw this.#broken(`an impossible size or place of ${what}`)
    return { name, type: typeName, dimensions, offset: Number(offset), bytes }
  }

  #broken(what: string): SottoError {
    return new SottoError('ERR_MODEL_FORMAT', `Expected a well-formed GGUF file, found ${what}`)
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

// Aligned, inside the file, and no two in one place.
function checkPlaces({ tensors, alignment, dataOffset, fileBytes }: GgufFile): void {
  let end = 0
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset)) {
    const what = `tensor ${quoted(tensor.name)}`
    if (tensor.offset % alignment !== 0) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `Expected a well-formed GGUF file, ${what} is not aligned to ${alignment} bytes`,
      )
    }
    if (tensor.offset < end) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `Expected a well-formed GGUF file, ${what} overlaps another`,
      )
    }
    end = tensor.offset + tensor.bytes
    if (dataOffset + end > fileBytes) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `The file is truncated: ${what} ends at byte ${dataOffset + end}, the file has ${fileBytes}. Download it again`,
      )
    }
  }
}
