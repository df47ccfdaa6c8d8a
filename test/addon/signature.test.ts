// Who vouches for a manifest: nothing that it names is opened before the signature is right.

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import {
  type Manifest,
  readManifest,
  type SigningKey,
  signedBytes,
  signManifest,
  splitModel,
} from '../../lib/gguf/index.js'
import { verifyModel } from '../../lib/verify.js'
import { expectCode } from '../helpers/expect-code.js'

const { tiny } = inject('models')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ed25519')
const pem = String(publicKey.export({ type: 'spki', format: 'pem' }))

let folder: string
let path: string
let signed: Manifest
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-signature-'))
  path = (await splitModel(tiny, { names: '%d', folder })).manifest!
  signed = signManifest(JSON.parse(readFileSync(path, 'utf8')), privateKey)
  write(signed)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (manifest: object) => writeFileSync(path, JSON.stringify(manifest))

it('a signed manifest is verified by the key as text, bytes, object, or by the private one', async () => {
  for (const key of [pem, Buffer.from(pem), publicKey, privateKey]) {
    expect(await verifyModel(path, { publicKey: key })).toHaveLength(2)
    expect((await readManifest(path, { publicKey: key })).signature).toBe(signed.signature)
  }
  expect(pem).toContain('BEGIN PUBLIC KEY')
  expect(await verifyModel(path)).toHaveLength(2)
})

it('openssl agrees about what is signed', () => {
  const [text, key, signature] = ['text', 'pub.pem', 'sig'].map((name) => join(folder, name))
  writeFileSync(text!, signedBytes(signed))
  writeFileSync(key!, pem)
  writeFileSync(signature!, Buffer.from(signed.signature!, 'base64'))
  const { shards } = signed
  expect(String(signedBytes(signed))).toBe(
    `sotto-manifest 1\n${shards.map((s) => `${s.sha256} ${s.bytes} ${s.name}\n`).join('')}`,
  )
  execFileSync('openssl', [
    ...['pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', key!],
    ...['-in', text!, '-sigfile', signature!],
  ])
})

it('a signature of another key is ERR_SIGNATURE_INVALID', async () => {
  const error = await expectCode('ERR_SIGNATURE_INVALID', () =>
    verifyModel(path, { publicKey: other.publicKey }),
  )
  expect(error.message).toContain('another key')
})

it.each<[string, (manifest: Manifest) => object]>([
  ['none', ({ signature: _, ...rest }) => rest],
  ['an empty one', (manifest) => ({ ...manifest, signature: '' })],
  ['a number', (manifest) => ({ ...manifest, signature: 5 })],
  ['null', (manifest) => ({ ...manifest, signature: null })],
  ['one cut short', (manifest) => ({ ...manifest, signature: manifest.signature!.slice(4) })],
  ['one of zeros', (manifest) => ({ ...manifest, signature: `${'A'.repeat(86)}==` })],
  [
    'that of another order',
    (manifest) => ({ ...manifest, shards: [...manifest.shards].reverse() }),
  ],
  ['that of fewer shards', (manifest) => ({ ...manifest, shards: manifest.shards.slice(1) })],
  [
    'that of another digest',
    ({ shards, ...rest }) => ({
      ...rest,
      shards: shards.map((shard) => ({ ...shard, sha256: 'a'.repeat(64) })),
    }),
  ],
  [
    'that of another name, which is not even looked for',
    ({ shards, ...rest }) => ({
      ...rest,
      shards: shards.map((shard) => ({ ...shard, name: `no-${shard.name}` })),
    }),
  ],
])('signature: %s is ERR_SIGNATURE_INVALID', async (_, change) => {
  write(change(signed))
  await expectCode('ERR_SIGNATURE_INVALID', () => verifyModel(path, { publicKey }))
})

it('what is no manifest has no signature', async () => {
  writeFileSync(join(folder, 'list'), `${'a'.repeat(64)}  0\n`)
  for (const source of [tiny, join(folder, 'list'), [join(folder, '0'), join(folder, '1')]])
    await expectCode('ERR_SIGNATURE_INVALID', () => verifyModel(source, { publicKey }))
})

it('a digest beside a key is ERR_OPTION_INVALID: one of them would not be looked at', () =>
  expectCode('ERR_OPTION_INVALID', () =>
    verifyModel(path, { publicKey, sha256: ['a'.repeat(64), 'a'.repeat(64)] }),
  ))

it.each<[string, () => SigningKey]>([
  ['text', () => 'no key'],
  ['an RSA key', () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
  ['a key for something else', () => generateKeyPairSync('x25519').privateKey],
  [
    'an encrypted key',
    () =>
      String(
        privateKey.export({
          ...{ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
        } as never),
      ),
  ],
])('%s is ERR_OPTION_INVALID, and is not quoted', async (_, key) => {
  for (const use of [
    () => verifyModel(path, { publicKey: key() }),
    () => signManifest(signed, key()),
  ]) {
    const error = await expectCode('ERR_OPTION_INVALID', use)
    expect(error.cause).toBeUndefined()
    expect(error.message).not.toMatch(/BEGIN|no key/)
  }
})

it('signManifest refuses a public key, and a manifest whose names would say something else', async () => {
  await expectCode('ERR_OPTION_INVALID', () => signManifest(signed, publicKey))
  const [first] = signed.shards
  const shards = [{ ...first!, name: `0\n${'a'.repeat(64)} 1 1` }]
  await expectCode('ERR_MANIFEST_INVALID', () => signManifest({ ...signed, shards }, privateKey))
})
