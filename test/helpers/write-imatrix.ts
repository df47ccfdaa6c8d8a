// write-imatrix.ts: importance matrices as llama-imatrix writes them, today and before.

import { writeFileSync } from 'node:fs'
import { type GgufTensor, writeGguf } from '../../lib/gguf/index.js'

export type Importance = Record<string, Float32Array>

/** Every weight of two dimensions, each input as important as its number is large. */
export function importanceOf(tensors: GgufTensor[]): Importance {
  return Object.fromEntries(
    tensors
      .filter(({ dimensions }) => dimensions.length >= 2)
      .map(({ name, dimensions }) => [
        name,
        Float32Array.from({ length: dimensions[0]! }, (_, i) => 1 + i),
      ]),
  )
}

/** `count`: of rows that were summed up. */
export function writeImatrix(path: string, importance: Importance, count = 4): string {
  const tensor = (name: string, values: Float32Array, dimensions: number[]) => ({
    name,
    type: 'F32',
    dimensions,
    data: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  })
  writeGguf(
    path,
    [
      { key: 'general.type', type: 'string', value: 'imatrix' },
      { key: 'imatrix.datasets', type: 'string', value: ['folder/words.txt'] },
      { key: 'imatrix.chunk_count', type: 'uint32', value: 3 },
      { key: 'imatrix.chunk_size', type: 'uint32', value: 512 },
    ],
    Object.entries(importance).flatMap(([name, values]) => {
      const sums = values.map((value) => value * count)
      return [
        tensor(`${name}.in_sum2`, sums, [values.length, 1]),
        tensor(`${name}.counts`, Float32Array.of(count), [1, 1]),
      ]
    }),
  )
  return path
}

export function writeOldImatrix(path: string, importance: Importance, calls = 4): string {
  const int = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(value)
    return bytes
  }
  const text = (value: string) => [int(Buffer.byteLength(value)), Buffer.from(value)]
  const entries = Object.entries(importance).flatMap(([name, values]) => {
    const sums = values.map((value) => value * calls)
    return [...text(name), int(calls), int(values.length), Buffer.from(sums.buffer)]
  })
  writeFileSync(
    path,
    Buffer.concat([int(Object.keys(importance).length), ...entries, int(3), ...text('words.txt')]),
  )
  return path
}
