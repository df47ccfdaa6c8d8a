// legacy-reader.ts: what a LLaMA model in one of llama.cpp's formats before GGUF says of itself. Read like a GGUF head: every number may be a lie,
// and nothing is believed that the file has not room for. Tensors lie behind their descriptions, so all of the file is gone through, in small pieces.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { SottoError } from '../errors.js'
import { checkPath } from './gate.js'
import { describeForeign, describeLegacy } from './legacy.js'

/** The header's numbers, under the names that they had. */
export interface LegacyHyperparameters {
  vocabulary: number
  embedding: number
  /** Feed-forward lengths were multiples of it. */
  multiple: number
  heads: number
  layers: number
  /** Dimensions of a head that are turned. */
  rotated: number
}

export interface LegacyTensor {
  name: string
  /** `F32`, `Q4_0` …; `Q4_2` and `Q4_3` were given up before GGUF. */
  type: string
  /** Elements a dimension, fastest first. */
  dimensions: number[]
  /** From the beginning of the file. */
  offset: number
  bytes: number
}

export interface LegacyModel {
  /** `ggml` had no version. */
  format: 'ggml' | 'ggmf' | 'ggjt'
  version: number
  hyperparameters: LegacyHyperparameters
  /** What most weights are. */
  fileType: string
  /** Bytes of each token, and its score where the format has them. */
  tokens: Uint8Array[]
  scores: Float32Array | undefined
  tensors: LegacyTensor[]
  fileBytes: number
}

/** What the reader accepts; each can be raised for a file that one trusts. */
export interface LegacyLimits {
  tokens: number
  tokenBytes: number
  tensors: number
  nameBytes: number
}

const defaultLimits: LegacyLimits = {
  tokens: 2 ** 20,
  tokenBytes: 4095,
  tensors: 65536,
  nameBytes: 255,
}

const formats = { lmgg: 'ggml', fmgg: 'ggmf', tjgg: 'ggjt' } as const

const fileTypes: Record<number, string> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  4: 'Q4_1, some F16',
  5: 'Q4_2',
  6: 'Q4_3',
  7: 'Q8_0',
  8: 'Q5_0',
  9: 'Q5_1',
  10: 'Q2_K',
  11: 'Q3_K_S',
  12: 'Q3_K_M',
  13: 'Q3_K_L',
  14: 'Q4_K_S',
  15: 'Q4_K_M',
  16: 'Q5_K_S',
  17: 'Q5_K_M',
  18: 'Q6_K',
}

type Blocks = [name: string, blockSize: number, blockBytes: number]

/** Types of weights by number, as they lay in GGJT version 3. */
const types: Record<number, Blocks> = {
  0: ['F32', 1, 4],
  1: ['F16', 1, 2],
  2: ['Q4_0', 32, 18],
  3: ['Q4_1', 32, 20],
  4: ['Q4_2', 16, 10],
  5: ['Q4_3', 16, 12],
  6: ['Q5_0', 32, 22],
  7: ['Q5_1', 32, 24],
  8: ['Q8_0', 32, 34],
  10: ['Q2_K', 256, 84],
  11: ['Q3_K', 256, 110],
  12: ['Q4_K', 256, 144],
  13: ['Q5_K', 256, 176],
  14: ['Q6_K', 256, 210],
}

/** Before version 3 these had scales of 32 bits. */
const widerTypes: Record<number, Blocks> = {
  2: ['Q4_0', 32, 20],
  3: ['Q4_1', 32, 24],
  8: ['Q8_0', 32, 36],
}

/**
 * Reads what a file in a format before GGUF (`ggml`, `ggmf`, `ggjt` 1 to 3) says of itself, from a path or from bytes. Only LLaMA models: other
 * families used the same magic numbers with other headers.
 *
 * Errors: `ERR_MODEL_FORMAT` (another format, truncated, contradicts itself, no LLaMA), `ERR_MODEL_VERSION`, `ERR_MODEL_LIMIT`,
 * `ERR_MODEL_UNSUPPORTED` (a type of weights that there never was), `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`.
 *
 * @example
 * ```ts
 * import { readLegacy } from 'sotto/gguf'
 * const { format, version, fileType, tensors } = readLegacy('old.bin')
 * console.log(format, version, fileType, tensors.length)
 * ```
 */
export function readLegacy(
  source: string | Uint8Array,
  limits?: Partial<LegacyLimits>,
): LegacyModel {
  const all = { ...defaultLimits, ...limits }
  if (typeof source !== 'string') return new LegacyReader(new Bytes(source), all).read()
  checkPath(source)
  let descriptor: number
  try {
    descriptor = openSync(source, 'r')
  } catch (cause) {
    throw new SottoError(
      'ERR_MODEL_UNREADABLE',
      `Expected a readable model file: ${(cause as Error).message}`,
      { cause },
    )
  }
  try {
    return new LegacyReader(new Window(descriptor), all).read()
  } finally {
    closeSync(descriptor)
  }
}

/** Pieces of a file. */
interface Pieces {
  readonly fileBytes: number
  /** Fewer than asked for only at the end. Good until the next call. */
  at(offset: number, length: number): Uint8Array
}

class Bytes implements Pieces {
  readonly fileBytes: number
  readonly #bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.fileBytes = bytes.length
  }
  at(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length)
  }
}

const windowBytes = 65536

class Window implements Pieces {
  readonly fileBytes: number
  readonly #descriptor: number
  readonly #buffer = Buffer.allocUnsafe(windowBytes)
  #start = 0
  #end = 0
  constructor(descriptor: number) {
    this.#descriptor = descriptor
    this.fileBytes = fstatSync(descriptor).size
  }
  at(offset: number, length: number): Uint8Array {
    if (offset < this.#start || offset + length > this.#end) {
      this.#start = offset
      this.#end = offset
      for (let count = 1; count > 0 && this.#end < offset + windowBytes; this.#end += count) {
        const filled = this.#end - offset
        count = readSync(this.#descriptor, this.#buffer, filled, windowBytes - filled, this.#end)
      }
    }
    const from = offset - this.#start
    return this.#buffer.subarray(from, Math.min(from + length, this.#end - this.#start))
  }
}

class LegacyReader {
  readonly #pieces: Pieces
  readonly #limits: LegacyLimits
  #at = 0

  constructor(pieces: Pieces, limits: LegacyLimits) {
    this.#pieces = pieces
    this.#limits = limits
  }

  read(): LegacyModel {
    const { format, version } = this.#start()
    const [vocabulary, embedding, multiple, heads, layers, rotated] = [
      this.#number('the size of the vocabulary', 1, this.#limits.tokens),
      this.#number('the width', 1, 2 ** 20),
      this.#number('the multiple of feed-forward lengths', 0, 2 ** 24),
      this.#number('the number of heads', 1, 65536),
      this.#number('the number of layers', 1, 512),
      this.#number('the rotated dimensions', 0, 2 ** 20),
    ]
    if (embedding % heads !== 0)
      throw broken(`a width of ${embedding} that ${heads} heads cannot divide`)
    const fileType = fileTypes[this.#number('the file type', 0, 2 ** 31)]
    if (!fileType) throw broken('a file type that there never was')
    const { tokens, scores } = this.#tokens(vocabulary, format !== 'ggml')
    return {
      format,
      version,
      hyperparameters: { vocabulary, embedding, multiple, heads, layers, rotated },
      fileType,
      tokens,
      scores,
      tensors: this.#tensors(format, version),
      fileBytes: this.#pieces.fileBytes,
    }
  }

  #start(): { format: LegacyModel['format']; version: number } {
    const start = this.#pieces.at(0, 64)
    const magic = Buffer.from(start.subarray(0, 4)).toString('latin1')
    if (!Object.hasOwn(formats, magic)) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `Expected a model in a format before GGUF, received ${describeLegacy(start) ?? describeForeign(start)}`,
      )
    }
    const format = formats[magic as keyof typeof formats]
    this.#at = 4
    if (format === 'ggml') return { format, version: 0 }
    const version = this.#number('the version', 0, 2 ** 32)
    const newest = format === 'ggmf' ? 1 : 3
    if (version >= 1 && version <= newest) return { format, version }
    throw new SottoError(
      'ERR_MODEL_VERSION',
      `Expected version ${newest === 1 ? '1' : `1 to ${newest}`} of ${format}, the last there was, received ${version}`,
    )
  }

  #need(length: number, what: string): Buffer {
    const bytes = this.#pieces.at(this.#at, length)
    if (bytes.length < length) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `The file is truncated: ${what} needs ${this.#at + length} bytes, the file has ${this.#pieces.fileBytes}`,
      )
    }
    this.#at += length
    return Buffer.from(bytes.buffer, bytes.byteOffset, length)
  }

  #number(what: string, least: number, most: number): number {
    const value = this.#need(4, what).readUInt32LE()
    if (value < least) throw broken(`${value} for ${what}`)
    if (value <= most) return value
    throw new SottoError(
      'ERR_MODEL_LIMIT',
      `Expected ${what} of at most ${most}, received ${value}`,
    )
  }

  #tokens(count: number, scored: boolean): Pick<LegacyModel, 'tokens' | 'scores'> {
    // Each has at least a length, so that no number makes more of them than the file has bytes.
    const least = scored ? 8 : 4
    if (count * least > this.#pieces.fileBytes - this.#at)
      throw broken(`a vocabulary of ${count} in a file of ${this.#pieces.fileBytes} bytes`)
    const scores = scored ? new Float32Array(count) : undefined
    const tokens: Uint8Array[] = []
    for (let i = 0; i < count; i++) {
      const length = this.#number('the bytes of a token', 0, this.#limits.tokenBytes)
      tokens.push(Uint8Array.from(this.#need(length, 'a token')))
      if (!scores) continue
      scores[i] = this.#need(4, 'a score').readFloatLE()
      if (Number.isNaN(scores[i])) throw broken(`a score of token ${i} that is no number`)
    }
    return { tokens, scores }
  }

  #tensors(format: LegacyModel['format'], version: number): LegacyTensor[] {
    const tensors: LegacyTensor[] = []
    const names = new Set<string>()
    while (this.#at < this.#pieces.fileBytes) {
      if (tensors.length === this.#limits.tensors) {
        throw new SottoError(
          'ERR_MODEL_LIMIT',
          `Expected at most ${this.#limits.tensors} tensors, there are more`,
        )
      }
      const tensor = this.#tensor(format, version)
      if (names.has(tensor.name)) throw broken(`the tensor ${JSON.stringify(tensor.name)} twice`)
      names.add(tensor.name)
      tensors.push(tensor)
    }
    if (tensors.length === 0) throw broken('no tensors')
    return tensors
  }

  #tensor(format: LegacyModel['format'], version: number): LegacyTensor {
    const rank = this.#number("a tensor's dimensions", 1, 4)
    const nameBytes = this.#number("the bytes of a tensor's name", 1, this.#limits.nameBytes)
    const id = this.#number("a tensor's type", 0, 2 ** 32)
    const blocks = (format === 'ggjt' && version >= 3 ? undefined : widerTypes[id]) ?? types[id]
    const dimensions = Array.from({ length: rank }, () => this.#number('a dimension', 1, 2 ** 32))
    const name = this.#need(nameBytes, "a tensor's name").toString('latin1')
    if (!/^[\w.-]+$/.test(name)) throw broken('a tensor without a proper name')
    if (!blocks) {
      throw new SottoError(
        'ERR_MODEL_UNSUPPORTED',
        `Expected a type of weights that there was, ${JSON.stringify(name)} has number ${id}`,
      )
    }
    const [type, blockSize, blockBytes] = blocks
    if (dimensions[0]! % blockSize !== 0)
      throw broken(
        `rows of ${dimensions[0]} in ${JSON.stringify(name)}, which ${type} cannot divide`,
      )
    const elements = dimensions.reduce((product, dimension) => product * dimension, 1)
    const bytes = (elements / blockSize) * blockBytes
    // Only the newest of these formats was made to be mapped.
    const offset = format === 'ggjt' ? Math.ceil(this.#at / 32) * 32 : this.#at
    if (!Number.isSafeInteger(bytes) || offset + bytes > this.#pieces.fileBytes) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `The file is truncated: ${JSON.stringify(name)} needs ${offset + bytes} bytes, the file has ${this.#pieces.fileBytes}`,
      )
    }
    this.#at = offset + bytes
    return { name, type, dimensions, offset, bytes }
  }
}

function broken(what: string): SottoError {
  return new SottoError(
    'ERR_MODEL_FORMAT',
    `Expected a LLaMA model in a format before GGUF, found ${what}: of other families only the magic number is the same`,
  )
}
