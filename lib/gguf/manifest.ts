// manifest.ts: the files of a model, in order, in JSON beside them. Names in it are of files in its own folder and of nothing else.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { received, SottoError } from '../errors.js'
import { checkOptions } from '../options.js'
import { checkPath, readStart } from './gate.js'
import { checkSignature, type SigningKey, signatureOf, signingKeyRule } from './signature.js'

export interface ManifestShard {
  /** A file in the manifest's folder. */
  name: string
  bytes: number
  /** 64 hex digits, lower case. */
  sha256: string
}

export interface Manifest {
  format: 'sotto-manifest'
  version: 1
  shards: ManifestShard[]
  /** Ed25519 over {@link signedBytes}, in base64. */
  signature?: string
}

export interface ManifestReadOptions {
  /** Whose signature it must have; that is looked at before any of its files is. */
  publicKey?: SigningKey
}

/** Most shards of a model: GGUF counts them in 16 bits. */
export const mostShards = 65535
const mostBytes = 16 * 2 ** 20

/** @internal Whether a file wants to be a manifest; whether it is one is another question. */
export function isManifest(path: string): boolean {
  checkPath(path)
  return path.endsWith('.json') || /^\ufeff?\s*\{/.test(readStart(path).toString('utf8'))
}

/**
 * Reads a manifest and finds its files: each in the manifest's folder, also behind symbolic links, and of the size that it should have.
 * Digests are not compared.
 *
 * Errors: `ERR_MANIFEST_INVALID`, `ERR_SIGNATURE_INVALID`, `ERR_MODEL_NOT_FOUND` (one of its files), `ERR_MODEL_UNREADABLE`,
 * `ERR_OPTION_INVALID` (the key), `ERR_OPTION_UNKNOWN`.
 *
 * @example
 * ```ts
 * import { readManifest } from 'sotto/gguf'
 * for (const { name, bytes } of (await readManifest('model.manifest.json')).shards) console.log(name, bytes)
 * ```
 */
export async function readManifest(
  path: string,
  given?: ManifestReadOptions,
): Promise<Manifest & { paths: string[] }> {
  const { publicKey } = checkOptions<ManifestReadOptions>('options', given, {
    publicKey: signingKeyRule,
  })
  checkPath(path)
  if (statSync(path).size > mostBytes)
    throw invalid(path, `has more than ${mostBytes} bytes, which no model needs`)
  const manifest = parseManifest(path, readFileSync(path, 'utf8'))
  if (publicKey !== undefined) checkSignature(path, manifest, publicKey)
  const folder = realpathSync(dirname(path))
  const names = new Set<string>()
  const paths = manifest.shards.map(({ name, bytes }) => {
    if (names.has(name)) throw invalid(path, `names ${received(name)} twice`)
    names.add(name)
    const found = join(folder, name)
    checkPath(found)
    const real = realpathSync(found)
    if (dirname(real) !== folder)
      throw invalid(path, `names ${received(name)}, which is a link that leaves its folder`)
    const { size } = statSync(real)
    if (size !== bytes)
      throw invalid(path, `says that ${received(name)} has ${bytes} bytes, it has ${size}`)
    return real
  })
  return { ...manifest, paths }
}

/** @internal What a text says, without a look at its files. `path` is for messages. */
export function parseManifest(path: string, text: string): Manifest {
  try {
    return checkManifest(path, JSON.parse(text.replace(/^\ufeff/, '')))
  } catch (cause) {
    if (cause instanceof SottoError) throw cause
    throw invalid(path, `is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/**
 * Returns a manifest with a signature by a private key of Ed25519 (`openssl genpkey -algorithm ed25519`).
 *
 * Errors: `ERR_OPTION_INVALID` (the key), `ERR_MANIFEST_INVALID`.
 *
 * @example
 * ```ts
 * import { generateKeyPairSync } from 'node:crypto'
 * import { readFileSync } from 'node:fs'
 * import { signManifest } from 'sotto/gguf'
 * const { privateKey } = generateKeyPairSync('ed25519')
 * const { signature } = signManifest(JSON.parse(readFileSync('model.manifest.json', 'utf8')), privateKey)
 * console.log(signature)
 * ```
 */
export function signManifest(manifest: Manifest, privateKey: SigningKey): Manifest {
  const { signature: _, ...plain } = checkManifest('this one', manifest)
  return { ...plain, signature: signatureOf(plain, privateKey) }
}

function checkManifest(
  path: string,
  value: Partial<Record<keyof Manifest, unknown>> | null,
): Manifest {
  if (value?.format !== 'sotto-manifest') throw invalid(path, 'has no "format": "sotto-manifest"')
  if (value.version !== 1) {
    throw invalid(
      path,
      `has version ${received(value.version)}, expected 1: a newer sotto may read it`,
    )
  }
  const { shards, signature } = value
  if (!Array.isArray(shards) || shards.length < 1 || shards.length > mostShards)
    throw invalid(path, `lists no shards, or more than ${mostShards}`)
  return {
    format: value.format,
    version: 1,
    shards: shards.map((shard) => checkShard(path, shard)),
    // Looked at by who has a key.
    ...(signature === undefined ? {} : { signature: signature as string }),
  }
}

function checkShard(path: string, shard: unknown): ManifestShard {
  const { name, bytes, sha256 } = (shard ?? {}) as Partial<Record<keyof ManifestShard, unknown>>
  if (!isFileName(name)) throw invalid(path, `names ${received(name)}, which is no file name`)
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0)
    throw invalid(path, `says that ${received(name)} has ${received(bytes)} bytes`)
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))
    throw invalid(path, `has no SHA-256 of 64 lower-case hex digits for ${received(name)}`)
  return { name, bytes: bytes as number, sha256 }
}

/** @internal A name that stays in its folder on every platform: no separator, no drive, no control character. */
export function isFileName(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    /^[^/\\:\x00-\x1f]+$/.test(name) &&
    name !== '.' &&
    name !== '..' &&
    Buffer.byteLength(name) <= 255
  )
}

function invalid(path: string, what: string, options?: ErrorOptions): SottoError {
  return new SottoError(
    'ERR_MANIFEST_INVALID',
    `Expected a manifest of a model's files, ${path} ${what}`,
    options,
  )
}
