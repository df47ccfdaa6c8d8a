// gguf.ts: tensors out of a GGUF file and into one.

import { type FileHandle, open } from 'node:fs/promises'
import { received, SottoError } from '../errors.js'
import { checkModelFile } from '../gguf/gate.js'
import type { GgufEntry } from '../gguf/head-writer.js'
import type { GgufTensor, GgufValue } from '../gguf/reader.js'
import { writeGguf } from '../gguf/writer.js'
import { abortSignal, callback, checkOptions, integer, text } from '../options.js'
import { Context } from './context.js'
import { nativeTensor, type Tensor } from './tensor.js'
import type { TensorTypeName } from './types.js'

export interface LoadGgufOptions {
  /** Which tensors: a name is enough to say no to. Default: all. */
  filter?: (name: string) => boolean
  /** Bytes for what is to be computed with them, beside the tensors themselves. Default 64 MB. */
  extra?: number
  /** As of {@link ContextOptions}. */
  device?: string
  /** Stops between two pieces of 16 MB; rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
}

/** What {@link loadGguf} gives. */
export interface LoadedGguf {
  /** Who owns the tensors. Close it when they are not needed any more. */
  context: Context
  tensors: Map<string, Tensor>
  metadata: Map<string, GgufValue>
}

const pieceBytes = 16 * 2 ** 20
const headerBytes = 1024 // of a tensor, and what aligns it

/**
 * Reads tensors of a GGUF file into a new context, after the same memory-safe reader that `loadModel` uses has found nothing wrong with the
 * file. It need not be a model.
 *
 * Errors: `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`, `ERR_MODEL_FORMAT`, `ERR_MODEL_LEGACY`, `ERR_MODEL_VERSION`, `ERR_MODEL_LIMIT`,
 * `ERR_MODEL_UNSUPPORTED` (a big-endian file), `ERR_TENSOR_MEMORY`, `ERR_ABORTED`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const { context, tensors } = await ggml.loadGguf('model.gguf', { filter: (name) => name === 'output_norm.weight' })
 * for (const [name, tensor] of tensors) console.log(name, tensor.type, tensor.shape)
 * await context.close()
 * ```
 */
export async function loadGguf(path: string, given?: LoadGgufOptions): Promise<LoadedGguf> {
  const options = checkOptions<LoadGgufOptions>('options', given, {
    filter: callback(),
    extra: integer(0, 2 ** 50),
    device: text(),
    signal: abortSignal(),
  })
  if (typeof path !== 'string') {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected path to be a string, received ${received(path)}`,
    )
  }
  const file = await checkModelFile(path, { adapter: true })
  if (file.byteOrder === 'big') {
    throw new SottoError('ERR_MODEL_UNSUPPORTED', `Expected a little-endian file: ${path}`)
  }
  const wanted = file.tensors.filter(({ name }) => options.filter?.(name) ?? true)
  const bytes = wanted.reduce((sum, tensor) => sum + tensor.bytes + headerBytes, 0)
  const context = new Context({
    memSize: bytes + (options.extra ?? 64 * 2 ** 20) + headerBytes,
    ...(options.device !== undefined && { device: options.device }),
  })
  const handle = await open(path)
  try {
    const tensors = new Map<string, Tensor>()
    for (const entry of wanted) {
      const tensor = context.tensor(entry.type as TensorTypeName, entry.dimensions)
      tensor.name = entry.name
      await read(handle, file.dataOffset + entry.offset, entry, tensor, options.signal)
      tensors.set(entry.name, tensor)
    }
    return { context, tensors, metadata: file.metadata }
  } catch (error) {
    await context.close()
    throw error
  } finally {
    await handle.close()
  }
}

async function read(
  handle: FileHandle,
  begin: number,
  { name, bytes }: GgufTensor,
  tensor: Tensor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const piece = Buffer.allocUnsafe(Math.min(bytes, pieceBytes))
  for (let at = 0; at < bytes; ) {
    if (signal?.aborted)
      throw new SottoError('ERR_ABORTED', 'Loading was aborted', { cause: signal.reason })
    const { bytesRead } = await handle.read(
      piece,
      0,
      Math.min(piece.length, bytes - at),
      begin + at,
    )
    if (bytesRead === 0) {
      throw new SottoError(
        'ERR_MODEL_FORMAT',
        `Expected ${bytes} bytes of ${name}, the file has ended`,
      )
    }
    tensor.setBytes(piece.subarray(0, bytesRead), at)
    at += bytesRead
  }
}

/**
 * Writes tensors, under the names they have here, and metadata into a GGUF file, one tensor at a time.
 *
 * Errors: `ERR_DISK`, `ERR_TENSOR_FOREIGN`, `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`, `ERR_OPTION_INVALID`.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const context = new ggml.Context({ memSize: 2 ** 20 })
 * const weights = context.tensor('Q8_0', [32, 2], new Float32Array(64).fill(0.5))
 * ggml.saveGguf('weights.gguf', { weights }, [{ key: 'general.architecture', type: 'string', value: 'mine' }])
 * await context.close()
 * ```
 */
export function saveGguf(
  path: string,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  metadata: GgufEntry[] = [],
): void {
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors)
  const sources = entries.map(([name, tensor]: [string, Tensor]) => {
    nativeTensor(tensor, `tensors.${name}`)
    if (name.length === 0 || Buffer.byteLength(name) > 63) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected names of 1 to 63 bytes, received ${received(name)}`,
      )
    }
    return {
      name,
      type: tensor.type,
      dimensions: [...tensor.shape],
      data: () => [tensor.bytes()],
    }
  })
  try {
    writeGguf(path, metadata, sources)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    throw new SottoError('ERR_DISK', `Could not write ${path}: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
