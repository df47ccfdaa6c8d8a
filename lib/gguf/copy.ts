// copy.ts: the tensors of some model files into new ones, a megabyte at a time, whatever the size of the model.

import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SottoError } from '../errors.js'
import { type HeadEntry, headEntries } from './head-entries.js'
import { align, type GgufEntry, writeHead } from './head-writer.js'
import { makeRoom, NewFile, syncFolderOf } from './new-file.js'
import type { ModelFiles, ShardTensor } from './shards.js'

export interface CopyProgress {
  /** Bytes of tensors that are written. */
  bytes: number
  totalBytes: number
}

export interface CopyOptions {
  /** Called after every megabyte. */
  onProgress?: (progress: CopyProgress) => void
  /** Stops with `ERR_ABORTED`; what was written is removed. */
  signal?: AbortSignal
}

/** A file to write. */
export interface NewShard {
  path: string
  entries: (GgufEntry | Uint8Array)[]
  tensors: ShardTensor[]
}

const chunkBytes = 2 ** 20

/**
 * Writes new files out of a model's. They get their names when all of them are whole, the last one last; `manifest` may then add one that
 * says what they are. On failure nothing is left.
 */
export async function copyTensors(
  model: ModelFiles,
  shards: NewShard[],
  { onProgress, signal }: CopyOptions,
  manifest?: { path: string; text: (digests: { bytes: number; sha256: string }[]) => string },
): Promise<{ bytes: number }> {
  const tensors = shards.flatMap((shard) => shard.tensors)
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)
  const folder = dirname(shards[0]!.path)
  await makeRoom(folder, totalBytes)
  await using sources = new Sources(model)
  const written: NewFile[] = []
  let bytes = 0
  const onBytes = (count: number) => {
    bytes += count
    onProgress?.({ bytes, totalBytes })
    if (signal?.aborted)
      throw new SottoError('ERR_ABORTED', 'Writing the model was aborted', { cause: signal.reason })
  }
  try {
    const digests: { bytes: number; sha256: string }[] = []
    for (const shard of shards) {
      onBytes(0)
      const file = await NewFile.create(shard.path, { digest: manifest !== undefined })
      written.push(file)
      await writeShard(model, shard, sources, file, onBytes)
      const sha256 = await file.close()
      digests.push({ bytes: file.bytes, sha256 })
    }
    if (manifest) {
      const file = await NewFile.create(manifest.path)
      written.push(file)
      await file.write(Buffer.from(manifest.text(digests)))
      await file.close()
    }
    for (const file of written) await file.giveName()
    await syncFolderOf(shards[0]!.path)
    return { bytes: digests.reduce((sum, digest) => sum + digest.bytes, 0) }
  } catch (error) {
    for (const file of written) await file.discard()
    throw error
  }
}

async function writeShard(
  { whole }: ModelFiles,
  { entries, tensors }: NewShard,
  sources: Sources,
  file: NewFile,
  onBytes: (count: number) => void,
): Promise<void> {
  await file.write(writeHead(whole, entries, tensors).bytes)
  for (const tensor of tensors) {
    for await (const piece of sources.read(tensor)) {
      await file.write(piece)
      onBytes(piece.length)
    }
    await file.write(new Uint8Array(align(tensor.bytes, whole.alignment) - tensor.bytes))
  }
}

/** The metadata of a model as it was written, without what says how it is split. */
export async function metadataOf({ paths, files }: ModelFiles): Promise<HeadEntry[]> {
  const [first] = files
  const head = Buffer.alloc(first!.dataOffset)
  const handle = await onModel(paths[0]!, () => open(paths[0]!, 'r'))
  try {
    await readAll(paths[0]!, handle, head, 0)
    return headEntries(head, first!).filter(({ key }) => !key.startsWith('split.'))
  } catch (cause) {
    throw cause instanceof RangeError ? changed(paths[0]!, cause) : cause
  } finally {
    await handle.close()
  }
}

// One file is open at a time: there may be more of them than a process may open.
class Sources implements AsyncDisposable {
  readonly #model: ModelFiles
  readonly #chunk = Buffer.allocUnsafe(chunkBytes)
  #shard = -1
  #handle: FileHandle | undefined

  constructor(model: ModelFiles) {
    this.#model = model
  }

  /** The bytes of a tensor, in pieces that are overwritten by the next one. */
  async *read({ shard, offset, bytes }: ShardTensor): AsyncGenerator<Uint8Array> {
    const path = this.#model.paths[shard]!
    const { dataOffset } = this.#model.files[shard]!
    if (this.#shard !== shard) {
      await this.#handle?.close()
      this.#handle = undefined
      this.#handle = await onModel(path, () => open(path, 'r'))
      this.#shard = shard
    }
    for (let at = 0; at < bytes; at += chunkBytes) {
      const piece = this.#chunk.subarray(0, Math.min(chunkBytes, bytes - at))
      await readAll(path, this.#handle!, piece, dataOffset + offset + at)
      yield piece
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close().catch(() => {})
  }
}

async function readAll(
  path: string,
  handle: FileHandle,
  into: Buffer,
  position: number,
): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const { bytesRead } = await onModel(path, () =>
      handle.read(into, at, into.length - at, position + at),
    )
    if (bytesRead === 0) throw changed(path)
    at += bytesRead
  }
}

function changed(path: string, cause?: Error): SottoError {
  return new SottoError(
    'ERR_MODEL_FORMAT',
    `Expected ${path} to stay as it is while it is copied`,
    {
      cause,
    },
  )
}

async function onModel<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    throw new SottoError(
      'ERR_MODEL_UNREADABLE',
      `Expected a readable model file ${path}: ${(cause as Error).message}`,
      { cause },
    )
  }
}
