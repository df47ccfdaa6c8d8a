// graph.ts: what is computed, and when.

import { onAbort } from '../abort.js'
import { SottoError } from '../errors.js'
import { fromNative, type NativeTensorGraph, native } from '../native.js'
import { abortSignal, checkOptions, integer } from '../options.js'
import { nativeTensor, Tensor, translated } from './tensor.js'

export interface GraphOptions {
  /** Most tensors in the graph, 1 … 2^24. Default 65536. Errors: `ERR_GRAPH_FULL`. */
  size?: number
}

export interface ComputeOptions {
  /**
   * Threads of the CPU that compute, 1 … 512; no more are started than there are processors. Default: its physical cores, or one where the
   * operations are too small to be shared.
   */
  threads?: number
  /** Stops between two operations; the promise rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
}

/**
 * Made by {@link Context.graph}.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const context = new ggml.Context({ memSize: 2 ** 20 })
 * const x = context.tensor('F32', [1], [3]).setParam()
 * const loss = context.sum(context.sqr(x)).setLoss()
 * const graph = context.graph(loss).backward()
 * await graph.compute()
 * console.log(loss.get()[0], graph.gradient(x).get()[0])   // 9 6
 * await context.close()
 * ```
 */
export class Graph {
  readonly #native: NativeTensorGraph
  readonly #compute: (work: () => Promise<void>, abort: () => void) => Promise<void>

  /** @internal */
  constructor(
    graph: NativeTensorGraph,
    compute: (work: () => Promise<void>, abort: () => void) => Promise<void>,
  ) {
    this.#native = graph
    this.#compute = compute
  }

  /** Adds tensors and everything that they are computed from. Errors: `ERR_GRAPH_FULL`, `ERR_TENSOR_FOREIGN`. */
  expand(...tensors: Tensor[]): this {
    for (const tensor of tensors) {
      translated(() => this.#native.expand(nativeTensor(tensor, 'every output')))
    }
    return this
  }

  /**
   * Adds what computes the gradient of the losses with respect to every parameter: see {@link Tensor.setLoss} and {@link Tensor.setParam}.
   * ggml knows the derivatives of its common operations, in F32.
   *
   * Errors: `ERR_GRAPH_GRADIENT`, `ERR_GRAPH_FULL`, `ERR_TENSOR_MEMORY`.
   */
  backward(): this {
    translated(() => this.#native.backward())
    return this
  }

  /** The gradient of a tensor, once there is one; it is computed with the graph. */
  gradient(tensor: Tensor): Tensor | undefined {
    const gradient = translated(() => this.#native.gradient(nativeTensor(tensor, 'tensor')))
    return gradient && new Tensor(gradient)
  }

  /** Sets the moments of its optimiser steps to zero. */
  reset(): this {
    translated(() => this.#native.reset())
    return this
  }

  /** How many parameters and operations it has. */
  get nodes(): number {
    return translated(() => this.#native.nodes())
  }

  /**
   * Computes all of it, off the JavaScript thread. Until it is done nothing else can be done with the context.
   *
   * Errors: `ERR_TENSOR_VALUE` (an index that does not exist, NaN where numbers are sorted), `ERR_ABORTED`, `ERR_GRAPH_FAILED`,
   * `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`, `ERR_TENSOR_MEMORY`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`.
   */
  async compute(given?: ComputeOptions): Promise<void> {
    const options = checkOptions<ComputeOptions>('options', given, {
      threads: integer(1, 512),
      signal: abortSignal(),
    })
    if (options.signal?.aborted) {
      throw new SottoError('ERR_ABORTED', 'Computing was aborted', { cause: options.signal.reason })
    }
    const { threads = 0 } = options
    const abort = new (native().AbortFlag)()
    const letGoOfSignal = onAbort(options.signal, () => abort.abort())
    try {
      await this.#compute(
        async () => this.#native.compute(threads, abort),
        () => abort.abort(),
      )
    } catch (error) {
      throw fromNative(error)
    } finally {
      letGoOfSignal()
    }
  }
}
