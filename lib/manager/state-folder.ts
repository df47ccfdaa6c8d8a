// state-folder.ts: where conversations lie on disk, under names that do not say whose they are, and what a process that died has left there.

import { createHash, createHmac, type KeyObject } from 'node:crypto'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SottoError } from '../errors.js'

const suffix = '.chat'
// A file that its writer left behind is old; one that is being written is not.
const abandonedMs = 60 * 60_000

/** Makes the folder, for its owner alone. Errors: `ERR_DISK`; `ERR_OPTION_INVALID` where others may write. */
export async function prepareFolder(folder: string): Promise<void> {
  const onDisk = (cause: unknown) =>
    new SottoError('ERR_DISK', `Expected to use a folder: ${(cause as Error).message}`, { cause })
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw onDisk(cause)
  }
  const { mode } = await stat(folder)
  if (process.platform !== 'win32' && (mode & 0o022) !== 0) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected options.folder to be one that nobody else may write to, received mode ${(mode & 0o777).toString(8)}: chmod 700 it`,
    )
  }
  for (const name of await readdir(folder)) {
    const writer = new RegExp(`\\${suffix}\\.(\\d+)-[0-9a-f]+\\.partial$`).exec(name)
    if (!writer) continue
    const path = join(folder, name)
    const about = await stat(path).catch(() => undefined)
    const alive = isAlive(Number(writer[1])) && Date.now() - (about?.mtimeMs ?? 0) < abandonedMs
    if (!alive) await rm(path, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Whose a conversation is: 32 bytes that a key's owner alone can tell from others. */
export function ownerDigest(principal: string, id: string, key: KeyObject | undefined): Buffer {
  const hash = key ? createHmac('sha256', key) : createHash('sha256')
  // The length keeps ('a', 'bc') and ('ab', 'c') apart.
  return hash.update(`${principal.length} ${principal}${id}`).digest()
}

export function statePath(folder: string, owner: Buffer): string {
  return join(folder, `${owner.toString('hex')}${suffix}`)
}
