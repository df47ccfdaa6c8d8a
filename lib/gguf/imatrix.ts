// imatrix.ts: an importance matrix: how much each input of a tensor matters on some text, as upstream's llama-imatrix writes it: today a
// GGUF file of sums and counts, before that a list. Read with the reader's eyes: it is a file like any other.

import { type FileHandle, open } from 'node:fs/promises'
import { SottoError } from '../errors.js'
import { checkPath, readStart } from './gate.js'
import { align, type GgufEntry, writeHead } from './head-writer.js'
import { NewFile } from './new-file.js'
import { GgufArray, type GgufTensor, readGguf } from './reader.js'

export interface ImportanceMatrix {
  /** By tensor: the mean square of each input, one row, or one a row for each expert. */
  tensors: Map<string, Float32Array>
  /** Pieces of text it was computed from; 0: unknown. */
  chunks: number
  /** What text, where the file says. */
  dataset: string
}

/** What an importance matrix is made of. */
export interface ImportanceSums {
  /** By tensor: a row of sums of squares for each of its matrices, and how many rows of input each sum is of. */
  tensors: Map<string, { squares: Float32Array; counts: Float32Array }>
  chunks: number
  /** Tokens of a chunk. */
  chunkSize: number
  dataset: string
}

const mostBytes = 2 ** 30 // the largest models have some hundred megabytes
const longestName = 512

/**
 * Reads an importance matrix, GGUF or the older `.dat`.
 *
 * Errors: `ERR_IMATRIX_INVALID`, `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`.
 *
 * @example
 * ```ts
 * import { readImatrix } from 'sotto/gguf'
 * const { tensors, chunks } = await readImatrix('imatrix.gguf')
 * console.log(tensors.size, chunks)
 * ```
 */
export async function readImatrix(path: string): Promise<ImportanceMatrix> {
  checkPath(path)
  const gguf = readStart(path).subarray(0, 4).toString('latin1') === 'GGUF'
  const file = await open(path, 'r').catch((cause: Error) => {
    throw new SottoError('ERR_MODEL_UNREADABLE', `Expected a readable file: ${cause.message}`, {
      cause,
    })
  })
  try {
    const { size } = await file.stat()
    if (size > mostBytes) throw invalid(path, `has more than ${mostBytes} bytes`)
    const matrix = gguf ? await readSums(path, file) : readList(path, await file.readFile())
    if (matrix.tensors.size === 0) throw invalid(path, 'is about no tensor')
    for (const [name, values] of matrix.tensors) {
      if (!values.every((value) => Number.isFinite(value) && value >= 0))
        throw invalid(path, `has a value for ${quoted(name)} that is negative or no number`)
    }
    return matrix
  } finally {
    await file.close()
  }
}

function invalid(path: string, what: string, options?: ErrorOptions): SottoError {
  return new SottoError(
    'ERR_IMATRIX_INVALID',
    `Expected an importance matrix as llama-imatrix writes it, ${path} ${what}`,
    options,
  )
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 80))
}

async function readSums(path: string, file: FileHandle): Promise<ImportanceMatrix> {
  const head = await readGguf(path).catch((cause: Error) => {
    throw invalid(path, `cannot be read: ${cause.message}`, { cause })
  })
  if (head.byteOrder !== 'little') throw invalid(path, 'is of another byte order')
  const read = async ({ bytes, offset }: GgufTensor): Promise<Float32Array> => {
    const data = new Uint8Array(bytes)
    let at = 0
    while (at < bytes) {
      const { bytesRead } = await file.read(data, at, bytes - at, head.dataOffset + offset + at)
      if (bytesRead === 0) throw invalid(path, 'became shorter')
      at += bytesRead
    }
    return new Float32Array(data.buffer)
  }
  const byName = new Map(head.tensors.map((tensor) => [tensor.name, tensor]))
  const tensors = new Map<string, Float32Array>()
  for (const sums of head.tensors) {
    const [, name] = /^(.+)\.in_sum2$/.exec(sums.name) ?? []
    if (name === undefined) {
      if (!sums.name.endsWith('.counts')) throw invalid(path, `has a tensor ${quoted(sums.name)}`)
      continue
    }
    const counts = byName.get(`${name}.counts`)
    if (!counts) throw invalid(path, `has sums without counts for ${quoted(name)}`)
    if (sums.type !== 'F32' || counts.type !== 'F32')
      throw invalid(path, `has sums or counts for ${quoted(name)} that are not F32`)
    if (sums.bytes % counts.bytes !== 0)
      throw invalid(
        path,
        `has ${counts.bytes / 4} counts for ${sums.bytes / 4} sums of ${quoted(name)}`,
      )
    tensors.set(name, means(await read(sums), await read(counts)))
  }
  const chunks = head.metadata.get('imatrix.chunk_count')
  const datasets = head.metadata.get('imatrix.datasets')
  const [dataset] = datasets instanceof GgufArray && datasets.type === 'string' ? datasets : []
  return {
    tensors,
    chunks: typeof chunks === 'number' ? chunks : 0,
    dataset: typeof dataset === 'string' ? dataset : '',
  }
}

// An expert that no text went to counts for as much as everybody.
function means(sums: Float32Array, counts: Float32Array): Float32Array {
  const columns = sums.length / counts.length
  return sums.map((sum, i) => {
    const count = counts[Math.floor(i / columns)]!
    return count > 0 ? sum / count : 1
  })
}

// Entries of: length and letters of the name, calls, number of values, values; then calls, and the dataset.
function readList(path: string, bytes: Buffer): ImportanceMatrix {
  let at = 0
  const need = (count: number, what: string) => {
    if (count > bytes.length - at) throw invalid(path, `ends in the middle of ${what}`)
    at += count
    return at - count
  }
  const number = (what: string, least: number, most: number): number => {
    const value = bytes.readInt32LE(need(4, what))
    if (value < least || value > most) throw invalid(path, `has ${value} for ${what}`)
    return value
  }
  const text = (length: number, what: string) => {
    const from = need(length, what)
    return bytes.toString('utf8', from, from + length)
  }
  const tensors = new Map<string, Float32Array>()
  const entries = number('the number of tensors', 1, 2 ** 20)
  for (let i = 0; i < entries; i++) {
    const name = text(number('the length of a name', 1, longestName), 'a name')
    const calls = number('a number of calls', 0, 2 ** 31 - 1)
    const count = number('a number of values', 1, 2 ** 28)
    const from = need(count * 4, `the values for ${quoted(name)}`)
    const values = new Float32Array(count)
    for (let j = 0; j < count; j++) values[j] = bytes.readFloatLE(from + 4 * j) / Math.max(1, calls)
    if (tensors.has(name)) throw invalid(path, `has values for ${quoted(name)} twice`)
    tensors.set(name, values)
  }
  const chunks = at < bytes.length ? number('a number of chunks', 0, 2 ** 31 - 1) : 0
  const dataset =
    at < bytes.length ? text(number('the length of a name', 0, 2 ** 16), 'the dataset') : ''
  return { tensors, chunks, dataset }
}

/** @internal Writes one in the GGUF form. Errors: `ERR_DISK`. */
export async function writeImatrix(path: string, sums: ImportanceSums): Promise<void> {
  const entries: GgufEntry[] = [
    { key: 'general.type', type: 'string', value: 'imatrix' },
    { key: 'imatrix.datasets', type: 'string', value: [sums.dataset] },
    { key: 'imatrix.chunk_count', type: 'uint32', value: sums.chunks },
    { key: 'imatrix.chunk_size', type: 'uint32', value: sums.chunkSize },
  ]
  const tensors = [...sums.tensors].flatMap(([name, { squares, counts }]) => {
    const matrices = counts.length
    const shape = (end: string, columns: number) => ({
      ...{ name: `${name}.${end}`, type: 'F32', dimensions: [columns, matrices] },
    })
    return [
      { ...shape('in_sum2', squares.length / matrices), data: squares },
      { ...shape('counts', 1), data: counts },
    ]
  })
  const format = { version: 3, byteOrder: 'little', alignment: 32 } as const
  const file = await NewFile.create(path)
  try {
    await file.write(writeHead(format, entries, tensors).bytes)
    for (const { data } of tensors) {
      await file.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      await file.write(new Uint8Array(align(data.byteLength, format.alignment) - data.byteLength))
    }
    await file.close()
    await file.giveName()
  } catch (error) {
    await file.discard()
    throw error
  }
}
