// loadModel with verify or publicKey: native code gets nothing that is not what it should be.

import { createHash, generateKeyPairSync } from 'node:crypto'
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, inject, it, vi } from 'vitest'
import { signManifest, splitModel } from '../../lib/gguf/index.js'
import { type LoadOptions, loadModel } from '../../lib/index.js'
import { native } from '../../lib/native.js'
import { expectCode } from '../helpers/expect-code.js'

const { tiny, real } = inject('models')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const small: LoadOptions = { contextSize: 128, threads: 1 }
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

let folder: string
let manifest: string
let shards: string[]
let home: string | undefined
const nativeLoad = vi.spyOn(native().Model, 'load')
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-verified-'))
  const split = await splitModel(tiny, { names: '%d', folder })
  manifest = split.manifest!
  shards = split.paths
  home = process.env['SOTTO_HOME']
  process.env['SOTTO_HOME'] = join(folder, 'home')
  nativeLoad.mockClear()
})
afterEach(() => {
  if (home === undefined) delete process.env['SOTTO_HOME']
  else process.env['SOTTO_HOME'] = home
  rmSync(folder, { recursive: true, force: true })
})

function flipByte(path: string): void {
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(path, bytes)
}

function sign(): void {
  const manifestText = JSON.parse(readFileSync(manifest, 'utf8'))
  writeFileSync(manifest, JSON.stringify(signManifest(manifestText, privateKey)))
}

async function refused(
  code: Parameters<typeof expectCode>[0],
  source: string | string[],
  options: LoadOptions,
) {
  nativeLoad.mockClear()
  await expectCode(code, () => loadModel(source, { ...small, ...options }))
  expect(nativeLoad).not.toHaveBeenCalled()
}

it('loads what is right: by manifest, by its signature, by digest, by digests', async () => {
  const phases = new Set<string>()
  const onProgress = ({ phase }: { phase: string }) => void phases.add(phase)
  for (const [source, options] of [
    [manifest, { verify: true, onProgress }],
    [tiny, { verify: { sha256: sha256(tiny) } }],
    [shards, { verify: { sha256: shards.map(sha256) } }],
  ] as const)
    await (await loadModel(source as string, { ...small, ...(options as LoadOptions) })).close()
  sign()
  await (await loadModel(manifest, { ...small, publicKey, draft: manifest })).close()
  expect([...phases]).toEqual(['verifying', 'loading'])
})

it('a flipped byte, a cut file, a swapped shard, another digest: nothing is opened', async () => {
  await refused('ERR_DIGEST_MISMATCH', tiny, { verify: { sha256: 'a'.repeat(64) } })
  await refused('ERR_MODEL_FORMAT', [...shards].reverse(), {
    verify: { sha256: shards.map(sha256) },
  })
  const text = readFileSync(manifest, 'utf8')
  const [first, second] = shards.map(sha256)
  writeFileSync(
    manifest,
    text.replace(first!, 'x').replace(second!, first!).replace('"x"', `"${second}"`),
  )
  await refused('ERR_DIGEST_MISMATCH', manifest, { verify: true })
  writeFileSync(manifest, text)
  const whole = readFileSync(shards[1]!)
  flipByte(shards[1]!)
  await refused('ERR_DIGEST_MISMATCH', manifest, { verify: true })
  await refused('ERR_DIGEST_MISMATCH', tiny, { verify: { sha256: sha256(shards[1]!) } })
  truncateSync(shards[1]!, whole.length - 1)
  await refused('ERR_MANIFEST_INVALID', manifest, { verify: true })
})

it('a signature that is missing or of another key, also of the draft: nothing is opened', async () => {
  await refused('ERR_SIGNATURE_INVALID', manifest, { publicKey })
  await refused('ERR_SIGNATURE_INVALID', tiny, { publicKey })
  sign()
  const other = generateKeyPairSync('ed25519').publicKey
  await refused('ERR_SIGNATURE_INVALID', manifest, { publicKey: other })
  await refused('ERR_SIGNATURE_INVALID', manifest, { publicKey, draft: tiny })
  flipByte(shards[0]!)
  await refused('ERR_DIGEST_MISMATCH', manifest, { publicKey })
})

it('options that would verify nothing are refused', async () => {
  await refused('ERR_OPTION_INVALID', tiny, { verify: true })
  await refused('ERR_OPTION_INVALID', manifest, { verify: true, draft: tiny })
  await refused('ERR_OPTION_INVALID', tiny, { verify: {} as never })
  await refused('ERR_OPTION_UNKNOWN', tiny, { verify: { sha265: 'a' } as never })
  await refused('ERR_OPTION_INVALID', tiny, { verify: { sha256: 'a'.repeat(40) } })
  await refused('ERR_OPTION_INVALID', tiny, { publicKey: 5 as never })
})

it('a file that was replaced between check and load is ERR_DIGEST_MISMATCH, and the model is closed', async () => {
  const model = join(folder, 'model.gguf')
  copyFileSync(tiny, model)
  const other = join(folder, 'other.gguf')
  copyFileSync(tiny, other)
  const close = vi.fn()
  nativeLoad.mockImplementationOnce(async (...list) => {
    renameSync(other, model) // the same bytes, and still another file
    const loaded = await native().Model.load(...list)
    if (process.platform === 'linux') expect(list[0].paths[0]).toMatch(/^\/proc\/self\/fd\//) // and so not what has the name now
    const own = loaded.close.bind(loaded)
    return Object.assign(loaded, {
      close: () => {
        close()
        return own()
      },
    })
  })
  await expectCode('ERR_DIGEST_MISMATCH', () =>
    loadModel(model, { ...small, verify: { sha256: sha256(model) } }),
  )
  expect(close).toHaveBeenCalledOnce()
})

it('what onProgress throws, and an abort, end the verification', async () => {
  const onProgress = () => {
    throw new RangeError('enough')
  }
  const options = { ...small, verify: { sha256: sha256(tiny) } }
  await expect(loadModel(tiny, { ...options, onProgress })).rejects.toThrow(RangeError)
  const controller = new AbortController()
  await expectCode('ERR_ABORTED', () =>
    loadModel(tiny, {
      ...options,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    }),
  )
  expect(nativeLoad).not.toHaveBeenCalled()
})

it('packed weights of verified loads are files of their own', async () => {
  await (await loadModel(real, { ...small, verify: { sha256: sha256(real) } })).close()
  const packed = readdirSync(join(folder, 'home', 'packed')).filter((n) => n.endsWith('.packed'))
  expect(packed).toHaveLength(1)
  expect(packed[0]).toMatch(/^verified-/)
})
