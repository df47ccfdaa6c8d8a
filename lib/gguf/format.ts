// format.ts: the constants of GGUF (ggml's docs/gguf.md) and the tensor types of the vendored ggml.

export const magic = 0x46554747 // "GGUF", little endian

/** Types of metadata values, by number. */
export const valueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const
export type ValueType = (typeof valueTypes)[number]

/** Bytes of the types of fixed size. */
export const valueBytes: Record<Exclude<ValueType, 'string' | 'array'>, number> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
}

export interface TensorType {
  /** ggml's number. */
  id: number
  /** Elements in a block. */
  blockSize: number
  /** Bytes of a block. */
  blockBytes: number
}

const types: [name: string, id: number, blockSize: number, blockBytes: number][] = [
  ['F32', 0, 1, 4],
  ['F16', 1, 1, 2],
  ['Q4_0', 2, 32, 18],
  ['Q4_1', 3, 32, 20],
  ['Q5_0', 6, 32, 22],
  ['Q5_1', 7, 32, 24],
  ['Q8_0', 8, 32, 34],
  ['Q8_1', 9, 32, 36],
  ['Q2_K', 10, 256, 84],
  ['Q3_K', 11, 256, 110],
  ['Q4_K', 12, 256, 144],
  ['Q5_K', 13, 256, 176],
  ['Q6_K', 14, 256, 210],
  ['Q8_K', 15, 256, 292],
  ['IQ2_XXS', 16, 256, 66],
  ['IQ2_XS', 17, 256, 74],
  ['IQ3_XXS', 18, 256, 98],
  ['IQ1_S', 19, 256, 50],
  ['IQ4_NL', 20, 32, 18],
  ['IQ3_S', 21, 256, 110],
  ['IQ2_S', 22, 256, 82],
  ['IQ4_XS', 23, 256, 136],
  ['I8', 24, 1, 1],
  ['I16', 25, 1, 2],
  ['I32', 26, 1, 4],
  ['I64', 27, 1, 8],
  ['F64', 28, 1, 8],
  ['IQ1_M', 29, 256, 56],
  ['BF16', 30, 1, 2],
  ['TQ1_0', 34, 256, 54],
  ['TQ2_0', 35, 256, 66],
  ['MXFP4', 39, 32, 17],
  ['NVFP4', 40, 64, 36],
  ['Q1_0', 41, 128, 18],
  ['Q2_0', 42, 64, 18],
]

/** Tensor types by name. */
export const tensorTypes: ReadonlyMap<string, TensorType> = new Map(
  types.map(([name, id, blockSize, blockBytes]) => [name, { id, blockSize, blockBytes }]),
)

/** Names of tensor types by ggml's number. */
export const tensorTypeNames: ReadonlyMap<number, string> = new Map(
  types.map(([name, id]) => [id, name]),
)
