// verify.ts: whether the files of a model are what somebody said they are: a manifest, a digest list, the store, or the caller.

import { closeSync, constants, openSync, realpathSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { type DigestOptions, digestFile } from './digest.js'
import { received, SottoError } from './errors.js'
import { isDigestList, readDigestList } from './gguf/digest-list.js'
import { isFileName, isManifest, type Manifest, readManifest } from './gguf/manifest.js'
import { checkModelFiles } from './gguf/shards.js'
import { type SigningKey, signingKeyRule, unsigned } from './gguf/signature.js'
import { checkPaths } from './model.js'
import {
  type FileIdentity,
  identityOf,
  isSettled,
  recallDigests,
  rememberDigests,
} from './models/digest-memory.js'
import { listModels, resolveModel } from './models/store.js'
import {
  abortSignal,
  anyOf,
  callback,
  checkOptions,
  flag,
  listOf,
  type OptionRule,
} from './options.js'

export interface VerifyOptions extends DigestOptions {
  /** What the file must have; of a model in shards, what each must have, in order. Default: what the manifest, the list or the store says. */
  sha256?: string | string[]
  /** `false`: read every file, whatever is remembered of it. Default true. */
  cache?: boolean
  /** The manifest must have the signature of this key's owner: Ed25519, as PEM or a KeyObject. Looked at before any file is. */
  publicKey?: SigningKey
  /** Called after each file. */
  onFile?: (file: { name: string; path: string; ok: boolean }) => void
}

export interface VerifiedFile {
  /** As the manifest or the list calls it. */
  name: string
  path: string
  bytes: number
  sha256: string
}

interface Expected {
  name: string
  path: string
  sha256: string
}

const sha256Rule: OptionRule<string> = {
  expected: '64 hexadecimal digits',
  accepts: (value): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value),
}

const digestsRule = anyOf<string | string[]>(sha256Rule, listOf(sha256Rule))

/**
 * Compares the SHA-256 of every file of a model with what it should be: of a manifest (`makeManifest`, `splitModel`), a digest list of
 * `sha256sum`, a stored model by name or path, or any model with `sha256`. Files that have not changed since they were last read, by path,
 * device, inode, size and times, are not read again.
 *
 * Errors: `ERR_DIGEST_MISMATCH` (after all files; the message names the wrong ones), `ERR_SIGNATURE_INVALID`, `ERR_MANIFEST_INVALID`
 * (also: a file of another size), `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`, `ERR_ABORTED`, `ERR_OPTION_INVALID` (also: nothing to compare with),
 * `ERR_OPTION_UNKNOWN`, `ERR_NATIVE_MISSING`, and those of `checkModelFiles`.
 *
 * @example
 * ```ts
 * import { verifyModel } from 'sotto'
 * for (const { name, sha256 } of await verifyModel('model.manifest.json')) console.log(sha256, name)
 * ```
 */
export async function verifyModel(
  source: string | string[],
  given?: VerifyOptions,
): Promise<VerifiedFile[]> {
  const options = checkOptions<VerifyOptions>('options', given, {
    sha256: digestsRule,
    cache: flag(),
    publicKey: signingKeyRule,
    onFile: callback(),
    onProgress: callback(),
    signal: abortSignal(),
  })
  const named = checkPaths(source)
  const expected = await expectedOf(
    typeof named === 'string' ? await resolveModel(named) : named,
    options,
  )
  return (await compare(expected, options)).map(({ identity: _, ...file }) => file)
}

/** @internal A verified file, and what would tell that it is another one now. */
export type PinnedFile = VerifiedFile & { identity: FileIdentity }

/** @internal The same for whoever goes on with the files. */
export async function verifyFiles(
  source: string | string[],
  options: VerifyOptions,
): Promise<PinnedFile[]> {
  return compare(await expectedOf(source, options), options)
}

/** @internal What `loadModel` asks for; undefined where it asks for nothing. */
export async function verifyBeforeLoad(
  source: string | string[],
  {
    verify,
    publicKey,
    ...options
  }: DigestOptions & { verify?: boolean | { sha256?: string | string[] }; publicKey?: SigningKey },
): Promise<PinnedFile[] | undefined> {
  if (verify === undefined || typeof verify === 'boolean')
    return verify || publicKey ? verifyFiles(source, { ...options, publicKey }) : undefined
  const { sha256 } = checkOptions<{ sha256: string | string[] }>('options.verify', verify, {
    sha256: digestsRule,
  })
  if (sha256 !== undefined) return verifyFiles(source, { ...options, publicKey, sha256 })
  throw new SottoError(
    'ERR_OPTION_INVALID',
    'Expected options.verify.sha256, received an object without it',
  )
}

/**
 * @internal Files as they were verified, held open: on Linux native code opens what is held, by `paths`, and not what has its name by then. Elsewhere
 * `check` finds afterwards that a file was replaced. Throws when one has changed.
 */
export class HeldFiles implements Disposable {
  readonly paths: string[]
  readonly #names: string[]
  readonly #files: PinnedFile[]
  readonly #open: number[] = []

  constructor(files: PinnedFile[], names: string[]) {
    this.#files = files
    this.#names = names
    try {
      if (process.platform === 'linux')
        for (const name of names) this.#open.push(openSync(name, constants.O_RDONLY))
      this.check()
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
    this.paths = this.#open.length > 0 ? this.#open.map((held) => `/proc/self/fd/${held}`) : names
  }

  check(): void {
    const now = this.#open.length > 0 ? this.#open : this.#names
    const same =
      this.#files.length === now.length &&
      this.#files.every(({ identity }, i) => identityOf(now[i]!).key === identity.key)
    if (!same) throw changed(this.#names.length === 1 ? this.#names[0]! : dirname(this.#names[0]!))
  }

  [Symbol.dispose](): void {
    for (const held of this.#open.splice(0)) closeSync(held)
  }
}

function changed(path: string): SottoError {
  return new SottoError(
    'ERR_DIGEST_MISMATCH',
    `Expected files that stay as they are, ${path} changed while it was used: nothing of it was kept`,
  )
}

async function expectedOf(
  source: string | string[],
  { sha256, publicKey }: VerifyOptions,
): Promise<Expected[]> {
  if (publicKey !== undefined) {
    if (sha256 !== undefined)
      throw new SottoError(
        'ERR_OPTION_INVALID',
        'Expected options.sha256 or options.publicKey, received both',
      )
    if (typeof source !== 'string' || !isManifest(source))
      throw unsigned(`${received(source)} is no manifest`)
  }
  if (sha256 !== undefined) {
    const { paths } = await checkModelFiles(source, { adapter: true })
    const digests = [sha256].flat()
    if (digests.length !== paths.length) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected options.sha256 of each of ${paths.length} files, received ${digests.length}`,
      )
    }
    return paths.map((path, i) => {
      return { name: basename(path), path, sha256: digests[i]!.toLowerCase() }
    })
  }
  if (typeof source === 'string') {
    if (isManifest(source)) {
      const { shards, paths } = await readManifest(source, { publicKey })
      return shards.map((shard, i) => ({ ...shard, path: paths[i]! }))
    }
    if (isDigestList(source)) return readDigestList(source)
    const path = realpathSync(source)
    const stored = (await listModels()).find((model) => realpathSync(model.path) === path)
    if (stored) return [{ name: stored.name, path, sha256: stored.sha256 }]
  }
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected options.sha256, a manifest, a digest list or a stored model: nobody says what ${received(source)} should be`,
  )
}

async function compare(expected: Expected[], options: VerifyOptions): Promise<PinnedFile[]> {
  const files = await digestFiles(
    expected.map(({ path }) => path),
    options,
    (i, sha256) => {
      const { name, path } = expected[i]!
      options.onFile?.({ name, path, ok: sha256 === expected[i]!.sha256 })
    },
  )
  const wrong = files.flatMap((file, i) =>
    file.sha256 === expected[i]!.sha256 ? [] : [{ ...expected[i]!, received: file.sha256 }],
  )
  if (wrong.length > 0) {
    const [first] = wrong
    const more = wrong.slice(1, 10).map(({ name }) => name)
    throw new SottoError(
      'ERR_DIGEST_MISMATCH',
      `Expected SHA-256 ${first!.sha256} of ${first!.name}, received ${first!.received}` +
        `${more.length > 0 ? `; also wrong: ${more.join(', ')}${wrong.length > 10 ? ' …' : ''}` : ''}: get it again from where it came from`,
    )
  }
  return files.map((file, i) => ({ ...file, name: expected[i]!.name }))
}

/** @internal Digests of files, computed or remembered. */
export async function digestFiles(
  paths: string[],
  { cache, signal, onProgress }: VerifyOptions,
  onDigest: (index: number, sha256: string) => void = () => {},
): Promise<Omit<PinnedFile, 'name'>[]> {
  const recall = cache === false ? () => undefined : recallDigests()
  const before = paths.map(identityOf)
  const totalBytes = before.reduce((sum, { bytes }) => sum + bytes, 0)
  const files: Omit<PinnedFile, 'name'>[] = []
  const read: typeof files = []
  let done = 0
  try {
    for (const [i, path] of paths.entries()) {
      const identity = before[i]!
      const remembered = recall(path, identity)
      let sha256 = remembered
      if (sha256 === undefined) {
        const settled = isSettled(identity)
        const digest = await digestFile(path, {
          signal,
          onProgress:
            onProgress && (({ bytes }) => onProgress({ bytes: done + bytes, totalBytes })),
        })
        if (identityOf(path).key !== identity.key) throw changed(path)
        sha256 = digest.sha256
        if (settled) read.push({ path, bytes: identity.bytes, sha256, identity })
      }
      done += identity.bytes
      onProgress?.({ bytes: done, totalBytes })
      onDigest(i, sha256)
      files.push({ path, bytes: identity.bytes, sha256, identity })
    }
  } finally {
    rememberDigests(read)
  }
  return files
}

export interface ManifestOptions extends DigestOptions {
  /** `false`: read every file, whatever is remembered of it. Default true. */
  cache?: boolean
}

/**
 * The manifest of a model of one file or of shards in one folder. Of a manifest it is a new one, after its files were compared with it.
 *
 * Errors: `ERR_OPTION_INVALID` (files of several folders), `ERR_OPTION_UNKNOWN`, `ERR_DIGEST_MISMATCH`, `ERR_ABORTED`,
 * `ERR_NATIVE_MISSING`, and those of `checkModelFiles`.
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs'
 * import { makeManifest } from 'sotto'
 * writeFileSync('model.manifest.json', JSON.stringify(await makeManifest('model.gguf')))
 * ```
 */
export async function makeManifest(
  source: string | string[],
  given?: ManifestOptions,
): Promise<Manifest> {
  const options = checkOptions<ManifestOptions>('options', given, {
    cache: flag(),
    onProgress: callback(),
    signal: abortSignal(),
  })
  const named = checkPaths(source)
  const found = typeof named === 'string' ? await resolveModel(named) : named
  const { paths } = await checkModelFiles(found, { adapter: true })
  const names = paths.map((path) => basename(path))
  const stray = paths.find(
    (path, i) => dirname(path) !== dirname(paths[0]!) || !isFileName(names[i]),
  )
  if (stray !== undefined || new Set(names).size < names.length) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected files of one folder with names of their own, received ${received(stray ?? paths[0])}`,
    )
  }
  const files =
    typeof found === 'string' && isManifest(found)
      ? await verifyFiles(found, options)
      : await digestFiles(paths, options)
  return {
    format: 'sotto-manifest',
    version: 1,
    shards: files.map(({ bytes, sha256 }, i) => ({ name: names[i]!, bytes, sha256 })),
  }
}
