// model-origin.ts: what a model was loaded from, and with: all that its keys and values depend on.

import { createHash } from 'node:crypto'
import { SottoError } from './errors.js'
import { type FileIdentity, identityOf } from './models/digest-memory.js'
import { type NativeModel, native } from './native.js'
import { digestFiles } from './verify.js'

export interface ModelOrigin {
  files: { path: string; identity: FileIdentity; scale?: number }[]
  cacheType: { k: string; v: string }
  prefixCache: boolean
}

const origins = new WeakMap<NativeModel, ModelOrigin>()

/** @internal */
export function rememberOrigin(model: NativeModel, origin: ModelOrigin): void {
  origins.set(model, origin)
}

/** @internal */
export function originOf(model: NativeModel): ModelOrigin {
  return origins.get(model)!
}

/**
 * 32 bytes that stand for everything that the keys and values of a model depend on: its weights and adapters, by their digests, the types that the
 * cache has, and the engine. Errors: `ERR_DIGEST_MISMATCH` when a file is not the one that was loaded.
 *
 * @internal
 */
export async function stateDigest(model: NativeModel): Promise<Buffer> {
  const { files, cacheType } = originOf(model)
  const digests = await digestFiles(
    files.map(({ path }) => path),
    {},
  )
  const changed = digests.find(({ identity }, i) => identity.key !== files[i]!.identity.key)
  if (changed) {
    throw new SottoError(
      'ERR_DIGEST_MISMATCH',
      `Expected ${changed.path} to be the file that was loaded, it has changed since`,
    )
  }
  const { llama } = native().systemInfo().versions
  const parts = digests.map(({ sha256 }, i) => [sha256, files[i]!.scale ?? 0])
  return createHash('sha256')
    .update(JSON.stringify([1, llama, cacheType.k, cacheType.v, parts]))
    .digest()
}

/** @internal The files as they are now. */
export function filesOf(
  paths: string[],
  adapters: { path: string; scale: number }[],
): ModelOrigin['files'] {
  return [
    ...paths.map((path) => ({ path, identity: identityOf(path) })),
    ...adapters.map(({ path, scale }) => ({ path, scale, identity: identityOf(path) })),
  ]
}
