// packed-cache.ts: where the packed weights of models lie between loads. A kernel reads weights in another order than a model file has
// them: native code writes that order down once (native/backends/cpu-kernels/packed-file.h) and maps it from then on. Files here can be
// deleted at any time; they are made again.

import { createHash } from 'node:crypto'
import { mkdir, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { GgufFile } from '../gguf/reader.js'
import { homeFolder } from './home.js'
import { listModels } from './store.js'

/** A file of packed weights. */
export interface PackedFile {
  path: string
  bytes: number
  /** When a load last used it. */
  usedAt: Date
}

/** Bytes that all files of packed weights may take together, unless `SOTTO_PACKED_CACHE` says otherwise. */
const defaultLimit = 20 * 2 ** 30
const suffix = '.packed'
// Native code remembers beside a file that it was found whole, and by this one's time when it was last used.
const checked = '.checked'
// A file that its writer left behind is old; one that is being written is not.
const abandonedMs = 60 * 60_000

export function packedFolder(): string {
  return join(homeFolder(), 'packed')
}

/** `SOTTO_PACKED_CACHE`: gigabytes; 0 keeps no packed weights. */
function limit(): number {
  const given = Number(process.env['SOTTO_PACKED_CACHE'] || Number.NaN)
  return Number.isFinite(given) && given >= 0 ? given * 2 ** 30 : defaultLimit
}

/** The files of packed weights, the most recently used first. */
export async function listPacked(): Promise<PackedFile[]> {
  const folder = packedFolder()
  const names = await readdir(folder).catch(() => [])
  const files = await Promise.all(
    names
      .filter((name) => name.endsWith(suffix))
      .map(async (name) => {
        const path = join(folder, name)
        const about = await stat(path).catch(() => undefined)
        const used = await stat(path + checked).catch(() => undefined)
        return about && { path, bytes: about.size, usedAt: used?.mtime ?? about.mtime }
      }),
  )
  return files
    .filter((file) => file !== undefined)
    .sort((a, b) => b.usedAt.getTime() - a.usedAt.getTime())
}

/** Removes every file of packed weights. Models that use one keep their mapping. Returns what was removed. */
export async function clearPacked(): Promise<PackedFile[]> {
  const files = await listPacked()
  await Promise.all(files.map(remove))
  await removePartial(0)
  return files
}

async function remove({ path }: PackedFile): Promise<void> {
  await rm(path, { force: true })
  await rm(path + checked, { force: true })
}

// What native code packs: pack.h in native/backends/cpu-kernels.
const packedTypes = /^(Q[45]_[01]|Q8_0|IQ4_NL|Q[456]_K)$/
// Smaller ones are packed faster than a file is found.
const leastBytes = 16 * 2 ** 20

/** Where a model's packed weights belong: nowhere but memory with an empty path, against its user's wish where there is a problem. */
export interface PackedPlace {
  path: string
  problem: string
}

/**
 * The place of a model's packed weights, after room was made for them. Those of files that were `verified` have another one: nothing that came
 * from what only seemed to be the same file is there.
 *
 * @internal
 */
export async function packedPlace(
  paths: string[],
  files: GgufFile[],
  verified?: string[],
): Promise<PackedPlace> {
  const bytes = files
    .flatMap(({ tensors }) => tensors)
    .reduce((sum, tensor) => sum + (packedTypes.test(tensor.type) ? tensor.bytes : 0), 0)
  const most = limit()
  if (bytes < leastBytes || most === 0) return { path: '', problem: '' }
  const inMemory = (problem: string) => ({ path: '', problem })
  if (most < bytes) return inMemory(`${bytes} bytes are more than SOTTO_PACKED_CACHE allows`)
  const folder = packedFolder()
  try {
    const path = join(
      folder,
      `${verified ? verifiedKey(verified) : await modelKey(paths)}${suffix}`,
    )
    await mkdir(folder, { recursive: true, mode: 0o700 })
    if (!(await stat(path).catch(() => undefined))) {
      await makeRoom(bytes)
      const { bavail, bsize } = await statfs(folder)
      // Half of what is free belongs to others.
      if (bavail * bsize < 2 * bytes)
        return inMemory(`${folder} has ${bavail * bsize} bytes free, less than twice ${bytes}`)
    }
    return { path, problem: '' }
  } catch (error) {
    return inMemory((error as Error).message)
  }
}

/** The digest of a stored model; of any other, one of what tells its files from others without reading them. */
async function modelKey(paths: string[]): Promise<string> {
  const stored = (await listModels()).find(({ path }) => paths.length === 1 && path === paths[0])
  if (stored) return stored.sha256
  const hash = createHash('sha256')
  for (const path of paths) {
    const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true })
    hash.update(`${dev} ${ino} ${size} ${mtimeNs}\n`)
  }
  return hash.digest('hex')
}

function verifiedKey(digests: string[]): string {
  return `verified-${createHash('sha256').update(digests.join('\n')).digest('hex')}`
}

/** Removes what was not used for longest until `bytes` more fit. */
async function makeRoom(bytes: number): Promise<void> {
  await removePartial(abandonedMs)
  let room = limit() - bytes
  for (const file of await listPacked()) {
    room -= file.bytes
    if (room < 0) await remove(file)
  }
}

async function removePartial(olderMs: number): Promise<void> {
  const folder = packedFolder()
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith('.partial')) continue
    const path = join(folder, name)
    const about = await stat(path).catch(() => undefined)
    if (about && Date.now() - about.mtimeMs >= olderMs) await rm(path, { force: true })
  }
}
