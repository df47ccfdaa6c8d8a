// writer.ts: metadata and tensors into a GGUF file, version 3, little endian. Tensor data is asked for one tensor at a time,
// in chunks, so that a model larger than memory can be written.

import { closeSync, openSync, writeSync } from 'node:fs'
import { magic, tensorTypes, type ValueType, valueBytes, valueTypes } from './format.js'

export interface GgufEntry {
  key: string
  type: Exclude<ValueType, 'array'>
  value: string | number | bigint | boolean | readonly (string | number | bigint | boolean)[]
}

export interface GgufTensorSource {
  name: string
  /** A key of `tensorTypes`. */
  type: string
  dimensions: number[]
  /** The encoded data, in pieces that together have the size of the tensor. */
  data: () => Iterable<Uint8Array>
}

/**
 * Writes a GGUF file.
 *
 * @example
 * ```ts
 * import { writeGguf } from 'sotto/gguf'
 * writeGguf('tiny.gguf', [{ key: 'general.architecture', type: 'string', value: 'llama' }], [])
 * ```
 */
export function writeGguf(
  path: string,
  metadata: GgufEntry[],
  tensors: GgufTensorSource[],
  alignment = 32,
): void {
  const head = new ByteWriter()
  head.number('uint32', magic)
  head.number('uint32', 3)
  head.number('uint64', tensors.length)
  const entries =
    alignment === 32
      ? metadata
      : [...metadata, { key: 'general.alignment', type: 'uint32' as const, value: alignment }]
  head.number('uint64', entries.length)
  for (const entry of entries) head.entry(entry)
  let offset = 0
  const sizes = tensors.map((tensor) => tensorBytes(tensor.type, tensor.dimensions))
  tensors.forEach((tensor, i) => {
    head.string(tensor.name)
    head.number('uint32', tensor.dimensions.length)
    for (const dimension of tensor.dimensions) head.number('uint64', dimension)
    head.number('uint32', tensorTypes.get(tensor.type)!.id)
    head.number('uint64', offset)
    offset += align(sizes[i]!, alignment)
  })
  const descriptor = openSync(path, 'w')
  try {
    writeAll(descriptor, head.bytes())
    writeAll(descriptor, new Uint8Array(align(head.length, alignment) - head.length))
    tensors.forEach((tensor, i) => {
      let written = 0
      for (const piece of tensor.data()) {
        writeAll(descriptor, piece)
        written += piece.byteLength
      }
      if (written !== sizes[i])
        throw new RangeError(`Expected ${sizes[i]} bytes of ${tensor.name}, received ${written}`)
      writeAll(descriptor, new Uint8Array(align(written, alignment) - written))
    })
  } finally {
    closeSync(descriptor)
  }
}

/** Bytes of a tensor. */
export function tensorBytes(type: string, dimensions: number[]): number {
  const { blockSize, blockBytes } = tensorTypes.get(type)!
  return (
    (dimensions.reduce((product, dimension) => product * dimension, 1) / blockSize) * blockBytes
  )
}

function align(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength; ) at += writeSync(descriptor, bytes, at)
}

class ByteWriter {
  #buffer = Buffer.alloc(2 ** 16)
  length = 0

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#buffer.length) return
    const grown = Buffer.alloc(Math.max(this.#buffer.length * 2, this.length + bytes))
    this.#buffer.copy(grown)
    this.#buffer = grown
  }

  number(type: Exclude<ValueType, 'array' | 'string'>, value: number | bigint | boolean): void {
    this.#room(8)
    const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset + this.length)
    switch (type) {
      case 'uint8':
      case 'bool':
        view.setUint8(0, Number(value))
        break
      case 'int8':
        view.setInt8(0, Number(value))
        break
      case 'uint16':
        view.setUint16(0, Number(value), true)
        break
      case 'int16':
        view.setInt16(0, Number(value), true)
        break
      case 'uint32':
        view.setUint32(0, Number(value), true)
        break
      case 'int32':
        view.setInt32(0, Number(value), true)
        break
      case 'float32':
        view.setFloat32(0, Number(value), true)
        break
      case 'float64':
        view.setFloat64(0, Number(value), true)
        break
      case 'uint64':
        view.setBigUint64(0, BigInt(value), true)
        break
      case 'int64':
        view.setBigInt64(0, BigInt(value), true)
        break
    }
    this.length += valueBytes[type]
  }

  string(text: string): void {
    const bytes = Buffer.from(text)
    this.number('uint64', bytes.length)
    this.#room(bytes.length)
    bytes.copy(this.#buffer, this.length)
    this.length += bytes.length
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
    this.number('uint64', value.length)
    for (const item of value) scalar(item)
  }
}
