// types.ts: types of tensors, and what their numbers are in JavaScript.

import { received, SottoError } from '../errors.js'
import { tensorTypes } from '../gguf/format.js'
import { nearestName } from '../options.js'

/** Every type of ggml that a tensor can have, as GGUF names it. */
export type TensorTypeName =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F64'
  | 'I8'
  | 'I16'
  | 'I32'
  | 'I64'
  | 'Q1_0'
  | 'Q2_0'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q8_1'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'Q8_K'
  | 'IQ1_S'
  | 'IQ1_M'
  | 'IQ2_XXS'
  | 'IQ2_XS'
  | 'IQ2_S'
  | 'IQ3_XXS'
  | 'IQ3_S'
  | 'IQ4_NL'
  | 'IQ4_XS'
  | 'TQ1_0'
  | 'TQ2_0'
  | 'MXFP4'
  | 'NVFP4'

/** What a tensor's numbers are read as: its own type where JavaScript has it, and 32-bit floats for what is shorter or quantised. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array

/** Types whose elements JavaScript holds as they are. */
export const plainTypes = {
  F64: Float64Array,
  I8: Int8Array,
  I16: Int16Array,
  I32: Int32Array,
  I64: BigInt64Array,
} as const

/** @internal ggml's number of a type. */
export function typeNumber(what: string, name: unknown): number {
  const type = typeof name === 'string' ? tensorTypes.get(name) : undefined
  if (type) return type.id
  const nearest = typeof name === 'string' && nearestName(name, [...tensorTypes.keys()])
  throw new SottoError(
    'ERR_TENSOR_TYPE',
    `Expected ${what} to be a type of ggml such as F32 or Q4_K, received ${received(name)}` +
      `${nearest ? `: did you mean ${nearest}?` : ''}`,
  )
}
