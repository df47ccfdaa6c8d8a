// tensor.ts: a tensor of a context: its shape, its numbers.

import { received, SottoError } from '../errors.js'
import { tensorTypeNames } from '../gguf/format.js'
import { fromNative, type NativeTensor } from '../native.js'
import { plainTypes, type TensorData, type TensorTypeName } from './types.js'

/** @internal What native code knows the tensor by; throws `ERR_TENSOR_FOREIGN` for anything else. */
export let nativeTensor: (tensor: unknown, what: string) => NativeTensor

/**
 * Made by {@link Context.tensor} and by every operation. It keeps its context, and with it its memory, alive.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const context = new ggml.Context({ memSize: 2 ** 20 })
 * const a = context.tensor('F16', [3, 2], [1, 2, 3, 4, 5, 6])   // two rows of three
 * console.log(a.shape, a.get())
 * await context.close()
 * ```
 */
export class Tensor {
  readonly #native: NativeTensor
  readonly type: TensorTypeName
  /** Elements of each dimension, 1 to 4 of them, the one that lies closest together first. */
  readonly shape: readonly number[]
  /** Bytes from one element, or block, to the next, in each of four dimensions. */
  readonly strides: readonly number[]
  /** One piece of memory, in order. */
  readonly contiguous: boolean
  /** What computes it, in ggml's words; `NONE` when nothing does. */
  readonly operation: string

  static {
    nativeTensor = (tensor, what) => {
      if (typeof tensor === 'object' && tensor !== null && #native in tensor) return tensor.#native
      throw new SottoError(
        'ERR_TENSOR_FOREIGN',
        `Expected ${what} to be a Tensor, received ${received(tensor)}`,
      )
    }
  }

  /** @internal */
  constructor(native: NativeTensor) {
    this.#native = native
    const { type, shape, strides, contiguous, operation } = native.info()
    this.type = tensorTypeNames.get(type) as TensorTypeName
    let dimensions = 4
    while (dimensions > 1 && shape[dimensions - 1] === 1) dimensions--
    this.shape = shape.slice(0, dimensions)
    this.strides = strides
    this.contiguous = contiguous
    this.operation = operation
  }

  /** How many numbers it has. */
  get elements(): number {
    return this.shape.reduce((product, length) => product * length, 1)
  }

  /** Up to 63 bytes of UTF-8. Errors: `ERR_OPTION_INVALID`, `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`. */
  get name(): string {
    return translated(() => this.#native.name())
  }
  set name(name: string) {
    translated(() => this.#native.setName(name))
  }

  /**
   * Writes all of its numbers, row after row. What is not an integer or F64 type takes 32-bit floats, and is converted or quantised; a
   * quantised type takes finite numbers from −65504 to 65504.
   *
   * Errors: `ERR_TENSOR_SHAPE` (another count, or a view that is not contiguous), `ERR_TENSOR_TYPE`, `ERR_TENSOR_VALUE`, `ERR_TENSOR_BUSY`,
   * `ERR_TENSOR_CLOSED`, `ERR_OPTION_INVALID`.
   */
  set(data: TensorData | ArrayLike<number> | readonly bigint[]): this {
    const plain = plainTypes[this.type as keyof typeof plainTypes]
    if (!plain) {
      const floats = data instanceof Float32Array ? data : convert(Float32Array, data)
      translated(() => this.#native.writeFloats(floats))
      return this
    }
    const typed = data instanceof plain ? data : convert(plain, data)
    return this.setBytes(new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength))
  }

  /**
   * Its numbers, row after row, as they are when it is contiguous and in the same order when it is a view. Of a type that is shorter than
   * 32-bit floats or quantised, 32-bit floats.
   *
   * Errors: `ERR_TENSOR_TYPE`, `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`.
   */
  get(): TensorData {
    const plain = plainTypes[this.type as keyof typeof plainTypes]
    if (!plain) return translated(() => this.#native.readFloats())
    const { buffer, byteOffset, byteLength } = this.bytes()
    return new plain(
      buffer as ArrayBuffer,
      byteOffset,
      byteLength / plain.BYTES_PER_ELEMENT,
    ) as TensorData
  }

  /** The same as {@link Tensor.get}, as 32-bit floats. */
  floats(): Float32Array {
    const data = this.get()
    return data instanceof Float32Array
      ? data
      : Float32Array.from(data as ArrayLike<number>, Number)
  }

  /** Writes its blocks as GGUF stores them, at an offset in bytes. Errors: as of {@link Tensor.set}. */
  setBytes(bytes: Uint8Array, offset = 0): this {
    translated(() => this.#native.writeBytes(bytes, offset))
    return this
  }

  /** Its blocks as GGUF stores them, row after row. Errors: `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`. */
  bytes(): Uint8Array {
    return translated(() => this.#native.readBytes())
  }

  /** Says that {@link Graph.backward} is to find its gradient: F32, and computed by nothing. Errors: `ERR_TENSOR_SHAPE`. */
  setParam(): this {
    translated(() => this.#native.setRole('parameter'))
    return this
  }

  /** Says that it, a single F32 number, is what gradients are of. Errors: `ERR_TENSOR_SHAPE`. */
  setLoss(): this {
    translated(() => this.#native.setRole('loss'))
    return this
  }
}

/** @internal Runs native code, whose failures are SottoErrors then. */
export function translated<Result>(action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    throw fromNative(error)
  }
}

type Plain =
  | Float32ArrayConstructor
  | Float64ArrayConstructor
  | Int8ArrayConstructor
  | Int16ArrayConstructor
  | Int32ArrayConstructor
  | BigInt64ArrayConstructor

function convert<Type extends Plain>(type: Type, data: unknown): InstanceType<Type> {
  const isList = Array.isArray(data) || (ArrayBuffer.isView(data) && !(data instanceof DataView))
  if (!isList) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected data to be a typed array or an array of numbers, received ${received(data)}`,
    )
  }
  const list = data as ArrayLike<unknown>
  const big = type === BigInt64Array
  const exact = type !== Float32Array && type !== Float64Array
  for (let i = 0; i < list.length; i++) {
    const item = list[i]
    if (big ? typeof item === 'bigint' || Number.isSafeInteger(item) : typeof item === 'number') {
      if (!exact || big || Number.isInteger(item)) continue
    }
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected data[${i}] to be ${big ? 'a bigint or an integer' : exact ? 'an integer' : 'a number'}, received ${received(item)}`,
    )
  }
  const items = big ? Array.from(list as ArrayLike<number>, BigInt) : list
  const typed = new type(items as never) as InstanceType<Type>
  for (let i = 0; exact && i < typed.length; i++) {
    if (Number(typed[i]) === Number(items[i as never])) continue
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected data[${i}] to fit into ${type.name.replace('Array', '')}, received ${received(list[i])}`,
    )
  }
  return typed
}
