// context.ts: memory for tensors, and what makes them.

import { received, SottoError } from '../errors.js'
import { type NativeTensorContext, native } from '../native.js'
import { checkOptions, integer, text } from '../options.js'
import { Graph, type GraphOptions } from './graph.js'
import { Operations } from './operations.js'
import { nativeTensor, Tensor, translated } from './tensor.js'
import { type TensorData, type TensorTypeName, typeNumber } from './types.js'

export interface ContextOptions {
  /** Bytes for all of its tensors, their headers (about 400 bytes each) and its graphs. */
  memSize: number
  /** A name of {@link devices}: where its tensors lie and are computed. Default: the CPU. */
  device?: string
}

let indices: Map<string, number> | undefined

function operationIndex(name: string): number {
  indices ??= new Map(
    native()
      .tensorOperations()
      .map((operation, i) => [operation.name, i]),
  )
  return indices.get(name)!
}

/**
 * Tensors that live together: every operation takes and gives tensors of the context it is called on. Whatever would make ggml end the
 * process is refused with an error before ggml sees it.
 *
 * Errors: `ERR_TENSOR_MEMORY`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_NATIVE_MISSING`.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const context = new ggml.Context({ memSize: 16 * 2 ** 20 })
 * const weights = context.tensor('F32', [2, 3], [1, 2, 3, 4, 5, 6])
 * const input = context.tensor('F32', [2], [1, -1])
 * const output = context.relu(context.mulMat(weights, input))
 * await context.graph(output).compute({ threads: 1 })
 * console.log(output.get())
 * await context.close()
 * ```
 */
export class Context extends Operations implements AsyncDisposable {
  readonly #native: NativeTensorContext
  /** The graphs that compute now: at most one does. */
  readonly #computing = new Set<Promise<void>>()
  #abort: (() => void) | undefined
  readonly memSize: number

  constructor(given: ContextOptions) {
    super()
    const options = checkOptions<ContextOptions>('options', given, {
      memSize: integer(1, 2 ** 50),
      device: text(),
    })
    if (options.memSize === undefined) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        'Expected options.memSize to be a number of bytes, received undefined',
      )
    }
    this.memSize = options.memSize
    this.#native = translated(
      () => new (native().TensorContext)(options.memSize!, options.device ?? ''),
    )
  }

  /**
   * A tensor that nothing computes: `data`, or zeros. `shape` has 1 to 4 dimensions, the one that lies closest together first, so a matrix
   * is `[columns, rows]`. Rows of a quantised type are of whole blocks.
   *
   * Errors: `ERR_TENSOR_SHAPE`, `ERR_TENSOR_MEMORY` and those of {@link Tensor.set}.
   */
  tensor(
    type: TensorTypeName,
    shape: readonly number[],
    data?: TensorData | ArrayLike<number> | readonly bigint[],
  ): Tensor {
    const id = typeNumber('type', type)
    const isShape = Array.isArray(shape) && shape.every((n) => Number.isInteger(n) && n < 2 ** 31)
    if (!isShape) {
      throw new SottoError(
        'ERR_TENSOR_SHAPE',
        `Expected shape to be an array of 1 to 4 positive integers, received ${received(shape)}`,
      )
    }
    const tensor = new Tensor(translated(() => this.#native.newTensor(id, [...shape])))
    return data === undefined ? tensor : tensor.set(data)
  }

  /** A graph that computes `outputs` and everything that they are computed from. More can be added to it. Errors: `ERR_GRAPH_FULL`. */
  graph(outputs: Tensor | readonly Tensor[] = [], options?: GraphOptions): Graph {
    const { size = 65536 } = checkOptions<GraphOptions>('options', options, {
      size: integer(1, 2 ** 24),
    })
    const graph = new Graph(
      translated(() => this.#native.newGraph(size)),
      (work, abort) => this.#compute(work, abort),
    )
    return graph.expand(...(Array.isArray(outputs) ? (outputs as Tensor[]) : [outputs as Tensor]))
  }

  /** Bytes of {@link Context.memSize} that are taken. Errors: `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`. */
  get used(): number {
    return translated(() => this.#native.used())
  }

  /** Stops what computes, and gives the memory back. Every tensor and graph of the context is closed with it. May be called twice. */
  async close(): Promise<void> {
    this.#native.close()
    this.#abort?.()
    await Promise.allSettled(this.#computing)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #compute(work: () => Promise<void>, abort: () => void): Promise<void> {
    const running = work()
    this.#computing.add(running)
    this.#abort = abort
    try {
      await running
    } finally {
      this.#computing.delete(running)
      this.#abort = undefined
    }
  }

  /** @internal */
  protected override run(name: string, values: unknown[]): Tensor {
    const natives = values.map((value, i) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? nativeTensor(value, `argument ${i + 1} of ${name}`)
        : value,
    )
    return new Tensor(translated(() => this.#native.apply(operationIndex(name), natives)))
  }
}
