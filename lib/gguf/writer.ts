// writer.ts: metadata and tensors into a GGUF file, version 3, little endian. Tensor data is asked for one tensor at a time,
// in chunks, so that a model larger than memory can be written.

import { closeSync, openSync, writeSync } from 'node:fs'
import { align, type GgufEntry, type TensorShape, tensorBytes, writeHead } from './head-writer.js'

export interface GgufTensorSource extends TensorShape {
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
  const entries =
    alignment === 32
      ? metadata
      : [...metadata, { key: 'general.alignment', type: 'uint32' as const, value: alignment }]
  const { bytes } = writeHead({ version: 3, byteOrder: 'little', alignment }, entries, tensors)
  const descriptor = openSync(path, 'w')
  try {
    writeAll(descriptor, bytes)
    for (const tensor of tensors) {
      let written = 0
      for (const piece of tensor.data()) {
        writeAll(descriptor, piece)
        written += piece.byteLength
      }
      const expected = tensorBytes(tensor.type, tensor.dimensions)
      if (written !== expected)
        throw new RangeError(`Expected ${expected} bytes of ${tensor.name}, received ${written}`)
      writeAll(descriptor, new Uint8Array(align(written, alignment) - written))
    }
  } finally {
    closeSync(descriptor)
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength; ) at += writeSync(descriptor, bytes, at)
}
