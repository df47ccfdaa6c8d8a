// new-file.ts: a file that is written beside its name and gets the name when it is whole. Whatever fails to write is ERR_DISK.

import { createHash, type Hash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SottoError } from '../errors.js'

export class NewFile {
  readonly path: string
  readonly #partial: string
  readonly #hash: Hash | undefined
  #handle: FileHandle | undefined
  #bytes = 0
  #named = false

  private constructor(path: string, digest: boolean) {
    this.path = path
    // Whoever finds it can tell whether its writer still lives.
    this.#partial = `${path}.${process.pid}-${randomUUID().slice(0, 8)}.partial`
    this.#hash = digest ? createHash('sha256') : undefined
  }

  /** `digest`: compute one on the way. `mode`: who may read it, within the umask. */
  static async create(path: string, { digest = false, mode = 0o666 } = {}): Promise<NewFile> {
    const file = new NewFile(path, digest)
    file.#handle = await onDisk(() => open(file.#partial, 'wx', mode))
    return file
  }

  get bytes(): number {
    return this.#bytes
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash?.update(bytes)
    for (let at = 0; at < bytes.length; )
      at += (await onDisk(() => this.#handle!.write(bytes, at))).bytesWritten
    this.#bytes += bytes.length
  }

  /** Nothing more will be written; what was is on the disk. Returns the digest, in hex, where one was asked for. */
  async close(): Promise<string> {
    await onDisk(() => this.#handle!.sync())
    await this.#handle!.close()
    this.#handle = undefined
    return this.#hash?.digest('hex') ?? ''
  }

  async giveName(): Promise<void> {
    await onDisk(() => rename(this.#partial, this.path))
    this.#named = true
  }

  /** Removes it, also when it has its name. */
  async discard(): Promise<void> {
    await this.#handle?.close().catch(() => {})
    this.#handle = undefined
    await rm(this.#named ? this.path : this.#partial, { force: true }).catch(() => {})
  }
}

/** Makes a folder, and fails at once where it has not room for `bytes` more. */
export async function makeRoom(folder: string, bytes: number): Promise<void> {
  await onDisk(() => mkdir(folder, { recursive: true }))
  const { bavail, bsize } = await onDisk(() => statfs(folder))
  if (bytes <= bavail * bsize) return
  throw new SottoError(
    'ERR_DISK',
    `Expected ${bytes} free bytes in ${folder}, there are ${bavail * bsize}: free some or write elsewhere`,
  )
}

/** @internal What fails is `ERR_DISK`. */
export async function onDisk<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    throw new SottoError('ERR_DISK', `Expected to write a file: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** Makes what was written under names in a folder last over a loss of power, where the platform can. */
export async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r').catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}
