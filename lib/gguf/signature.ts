// signature.ts: who vouches for a manifest: Ed25519 over text that says all of it and can be written in one way only.

import { createPrivateKey, createPublicKey, KeyObject, sign, verify } from 'node:crypto'
import { received, SottoError } from '../errors.js'
import type { OptionRule } from '../options.js'
import type { Manifest } from './manifest.js'

/** A key of Ed25519: PEM, as text or bytes, or what `node:crypto` made of it. */
export type SigningKey = string | Uint8Array | KeyObject

/** @internal */
export const signingKeyRule: OptionRule<SigningKey> = {
  expected: 'a key as PEM or a KeyObject',
  accepts: (value): value is SigningKey =>
    typeof value === 'string' || value instanceof Uint8Array || value instanceof KeyObject,
}

/**
 * What is signed, in UTF-8: `sotto-manifest 1`, then a line for each shard, in order: digest, bytes in decimal, name, with one space between
 * them; each line ends with a line feed. Names have no control characters, so no two manifests have the same text.
 */
export function signedBytes({ shards }: Manifest): Buffer {
  const lines = shards.map(({ sha256, bytes, name }) => `${sha256} ${bytes} ${name}\n`)
  return Buffer.from(`sotto-manifest 1\n${lines.join('')}`)
}

/** @internal Of a manifest that is one: signManifest checks it first. */
export function signatureOf(manifest: Manifest, privateKey: SigningKey): string {
  const key = readKey('private', privateKey)
  return sign(null, signedBytes(manifest), key).toString('base64')
}

/** @internal Throws unless the owner of the key signed the manifest. */
export function checkSignature(path: string, manifest: Manifest, publicKey: SigningKey): void {
  const key = readKey('public', publicKey)
  const { signature } = manifest
  if (signature === undefined) throw unsigned(`${path} has no signature`)
  if (typeof signature !== 'string' || !/^[A-Za-z0-9+/]{86}==$/.test(signature))
    throw unsigned(`the signature of ${path} is not one of Ed25519 in base64`)
  if (!verify(null, signedBytes(manifest), key, Buffer.from(signature, 'base64')))
    throw unsigned(`${path} was changed after it was signed, or was signed by another key`)
}

/** @internal */
export function unsigned(what: string): SottoError {
  return new SottoError(
    'ERR_SIGNATURE_INVALID',
    `Expected a manifest that the owner of the key signed: ${what}`,
  )
}

// Never with the cause: what the parser says may quote what it was given.
function readKey(kind: 'private' | 'public', given: SigningKey): KeyObject {
  let key: KeyObject | undefined
  try {
    if (given instanceof KeyObject)
      key = kind === 'public' && given.type === 'private' ? createPublicKey(given) : given
    else {
      const pem = Buffer.from(given)
      key = kind === 'private' ? createPrivateKey(pem) : createPublicKey(pem)
      pem.fill(0)
    }
  } catch {
    // Said below, without what was received.
  }
  if (key?.type === kind && key.asymmetricKeyType === 'ed25519') return key
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected ${kind === 'private' ? 'an unencrypted private' : 'a public'} key of Ed25519 as PEM, received ` +
      `${key ? `one of type ${key.type} ${received(key.asymmetricKeyType)}` : 'none that can be read'}`,
  )
}
