// digest-memory.ts: digests of files that were read once, so that nobody reads them again while they are the same files. Whoever can
// write to the cache folder can make it lie: it saves time, and is no proof against the user's own account.

import {
  fstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { homeFolder } from './home.js'

/** What changes when a file does: device, inode, size, times of content and of anything. */
export interface FileIdentity {
  key: string
  bytes: number
  changedMs: number
}

interface Remembered {
  identity: string
  sha256: string
}

const mostRemembered = 4096
// The clock of file systems ticks more slowly than programs run: a file that has only just changed may change again in the same tick.
const settledMs = 100

/** Of a path or of an open file. */
export function identityOf(file: string | number): FileIdentity {
  const { dev, ino, size, mtimeNs, ctimeNs } =
    typeof file === 'number' ? fstatSync(file, { bigint: true }) : statSync(file, { bigint: true })
  return {
    key: [dev, ino, size, mtimeNs, ctimeNs].join(' '),
    bytes: Number(size),
    changedMs: Number(ctimeNs / 1_000_000n),
  }
}

/** Whether a change after this moment would show. */
export function isSettled({ changedMs }: FileIdentity): boolean {
  return Date.now() - changedMs >= settledMs
}

function memoryFile(): string {
  return join(homeFolder(), 'digests.json')
}

function readMemory(): [path: string, Remembered][] {
  try {
    const stored: unknown = JSON.parse(readFileSync(memoryFile(), 'utf8'))
    if (!Array.isArray(stored)) return []
    return stored.filter(
      (entry): entry is [string, Remembered] =>
        Array.isArray(entry) &&
        typeof entry[0] === 'string' &&
        typeof entry[1]?.identity === 'string' &&
        /^[0-9a-f]{64}$/.test(entry[1].sha256),
    )
  } catch {
    return [] // absent or corrupt: it is only a memory
  }
}

/** The digests of files, by path, as long as they are what they were. */
export function recallDigests(): (path: string, identity: FileIdentity) => string | undefined {
  const known = new Map(readMemory())
  return (path, { key }) => {
    const found = known.get(realpathSync(path))
    return found?.identity === key ? found.sha256 : undefined
  }
}

export function rememberDigests(
  files: { path: string; identity: FileIdentity; sha256: string }[],
): void {
  if (files.length === 0) return
  const known = new Map(readMemory())
  for (const { path, identity, sha256 } of files) {
    const real = realpathSync(path)
    known.delete(real) // the newest are last
    known.set(real, { identity: identity.key, sha256 })
  }
  try {
    mkdirSync(homeFolder(), { recursive: true })
    const partial = `${memoryFile()}.${process.pid}`
    writeFileSync(partial, JSON.stringify([...known].slice(-mostRemembered)), { mode: 0o600 })
    renameSync(partial, memoryFile())
  } catch {
    // A read-only home: files are read again next time.
  }
}
