// head-writer.ts: the head of a GGUF file: metadata and the table of tensors, in any version and byte order.

import { tensorTypes, type ValueType, valueBytes, valueTypes } from './format.js'

export interface GgufEntry {
  key: string
  type: Exclude<ValueType, 'array'>
  value: string | number | bigint | boolean | readonly (string | number | bigint | boolean)[]
}

/** What a tensor is, without where it is. */
export interface TensorShape {
  name: string
  /** A key of `tensorTypes`. */
  type: string
  dimensions: number[]
}

/** How a head is written down. */
export interface HeadFormat {
  version: number
  byteOrder: 'little' | 'big'
  alignment: number
}

/**
 * A head, padded to where the data begins, and where each tensor's data belongs behind it. An entry is one to encode, or bytes out of
 * another head of the same format.
 */
export function writeHead(
  format: HeadFormat,
  entries: (GgufEntry | Uint8Array)[],
  tensors: TensorShape[],
): { bytes: Uint8Array; offsets: number[] } {
  const head = new HeadWriter(format)
  head.bytesOf(Buffer.from('GGUF')) // the same letters in either byte order
  head.number('uint32', format.version)
  head.length(tensors.length)
  head.length(entries.length)
  for (const entry of entries) {
    if (entry instanceof Uint8Array) head.bytesOf(entry)
    else head.entry(entry)
  }
  let offset = 0
  const offsets = tensors.map((tensor) => {
    head.tensor(tensor, offset)
    const at = offset
    offset += align(tensorBytes(tensor.type, tensor.dimensions), format.alignment)
    return at
  })
  head.bytesOf(new Uint8Array(align(head.size, format.alignment) - head.size))
  return { bytes: head.bytes(), offsets }
}

/** Bytes of a tensor. */
export function tensorBytes(type: string, dimensions: number[]): number {
  const { blockSize, blockBytes } = tensorTypes.get(type)!
  return (
    (dimensions.reduce((product, dimension) => product * dimension, 1) / blockSize) * blockBytes
  )
}

export function align(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}

class HeadWriter {
  readonly #little: boolean
  /** Version 1 has lengths and dimensions of 32 bits. */
  readonly #lengths: 'uint32' | 'uint64'
  #buffer = Buffer.alloc(2 ** 16)
  size = 0

  constructor({ version, byteOrder }: HeadFormat) {
    this.#little = byteOrder === 'little'
    this.#lengths = version === 1 ? 'uint32' : 'uint64'
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.size)
  }

  #room(bytes: number): void {
    if (this.size + bytes <= this.#buffer.length) return
    const grown = Buffer.alloc(Math.max(this.#buffer.length * 2, this.size + bytes))
    this.#buffer.copy(grown)
    this.#buffer = grown
  }

  bytesOf(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.size)
    this.size += bytes.length
  }

  length(value: number): void {
    this.number(this.#lengths, value)
  }

  number(type: Exclude<ValueType, 'array' | 'string'>, value: number | bigint | boolean): void {
    this.#room(8)
    const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset + this.size)
    const little = this.#little
    switch (type) {
      case 'uint8':
      case 'bool':
        view.setUint8(0, Number(value))
        break
      case 'int8':
        view.setInt8(0, Number(value))
        break
      case 'uint16':
        view.setUint16(0, Number(value), little)
        break
      case 'int16':
        view.setInt16(0, Number(value), little)
        break
      case 'uint32':
        view.setUint32(0, Number(value), little)
        break
      case 'int32':
        view.setInt32(0, Number(value), little)
        break
      case 'float32':
        view.setFloat32(0, Number(value), little)
        break
      case 'float64':
        view.setFloat64(0, Number(value), little)
        break
      case 'uint64':
        view.setBigUint64(0, BigInt(value), little)
        break
      case 'int64':
        view.setBigInt64(0, BigInt(value), little)
        break
    }
    this.size += valueBytes[type]
  }

  string(text: string): void {
    const bytes = Buffer.from(text)
    this.length(bytes.length)
    this.bytesOf(bytes)
  }

  entry({ key, type, value }: GgufEntry): void {
    this.string(key)
    const scalar = (item: string | number | bigint | boolean) =>
      type === 'string' ? this.string(String(item)) : this.number(type, item as number)
    if (typeof value !== 'object') {
      this.number('uint32', valueTypes.indexOf(type))
      scalar(value)
      return
    }
    this.number('uint32', valueTypes.indexOf('array'))
    this.number('uint32', valueTypes.indexOf(type))
    this.length(value.length)
    for (const item of value) scalar(item)
  }

  tensor({ name, type, dimensions }: TensorShape, offset: number): void {
    this.string(name)
    this.number('uint32', dimensions.length)
    for (const dimension of dimensions) this.length(dimension)
    this.number('uint32', tensorTypes.get(type)!.id)
    this.number('uint64', offset)
  }
}
