// The threats to a model's files that digests answer, each by name: what verifyModel says, and that loadModel opens nothing then.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { formatDigestList, splitModel } from '../../lib/gguf/index.js'
import { makeManifest, verifyModel } from '../../lib/verify.js'
import { expectCode } from '../helpers/expect-code.js'

const { tiny, real } = inject('models')
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

let folder: string
let manifest: string
let shards: string[]
let home: string | undefined
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-verify-'))
  const split = await splitModel(tiny, { names: 'layer-%d.bin', folder })
  manifest = split.manifest!
  shards = split.paths
  home = process.env['SOTTO_HOME']
  process.env['SOTTO_HOME'] = join(folder, 'home')
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

function list(text: string): string {
  const path = join(folder, 'SHA256SUMS')
  writeFileSync(path, text)
  return path
}

describe('verifyModel', () => {
  it('whole files: of a manifest, a digest list, a digest and several', async () => {
    const expected = shards.map((path, i) => {
      return { name: `layer-${i}.bin`, path, bytes: statSync(path).size, sha256: sha256(path) }
    })
    expect(await verifyModel(manifest)).toEqual(expected)
    expect(await verifyModel(list(formatDigestList(expected)))).toEqual(expected)
    expect(await verifyModel(shards, { sha256: expected.map((file) => file.sha256) })).toEqual(
      expected,
    )
    expect(await verifyModel(tiny, { sha256: sha256(tiny).toUpperCase() })).toMatchObject([
      { name: 'tiny.gguf' },
    ])
  })

  it('a flipped byte is ERR_DIGEST_MISMATCH that names the file', async () => {
    flipByte(shards[1]!)
    const heard: string[] = []
    const error = await expectCode('ERR_DIGEST_MISMATCH', () =>
      verifyModel(manifest, { onFile: ({ name, ok }) => heard.push(`${name} ${ok}`) }),
    )
    expect(error.message).toContain('layer-1.bin')
    expect(error.message).not.toContain('layer-0.bin')
    expect(heard).toEqual(['layer-0.bin true', 'layer-1.bin false'])
  })

  it('a file that was cut is ERR_MANIFEST_INVALID that names it, ERR_DIGEST_MISMATCH by a list', async () => {
    const sums = list(`${sha256(shards[1]!)}  layer-1.bin\n`)
    truncateSync(shards[1]!, statSync(shards[1]!).size - 1)
    const error = await expectCode('ERR_MANIFEST_INVALID', () => verifyModel(manifest))
    expect(error.message).toContain('layer-1.bin')
    await expectCode('ERR_DIGEST_MISMATCH', () => verifyModel(sums))
  })

  it('swapped shards of one size are ERR_DIGEST_MISMATCH that names both', async () => {
    const sums = list(shards.map((path, i) => `${sha256(path)}  layer-${i}.bin\n`).join(''))
    renameSync(shards[0]!, join(folder, 'aside'))
    renameSync(shards[1]!, shards[0]!)
    renameSync(join(folder, 'aside'), shards[1]!)
    const error = await expectCode('ERR_DIGEST_MISMATCH', () => verifyModel(sums))
    expect(error.message).toMatch(/layer-0\.bin.*layer-1\.bin/)
  })

  it.each([
    ['SHA-1', 40],
    ['SHA-512', 128],
    ['63 digits', 63],
  ])('a digest of another length (%s) is refused everywhere', async (_, length) => {
    const digest = 'a'.repeat(length)
    const error = await expectCode('ERR_MANIFEST_INVALID', () =>
      verifyModel(list(`${digest}  layer-0.bin\n`)),
    )
    expect(error.message).toContain(`${length} hex digits`)
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/[0-9a-f]{64}/, digest))
    await expectCode('ERR_MANIFEST_INVALID', () => verifyModel(manifest))
    await expectCode('ERR_OPTION_INVALID', () => verifyModel(tiny, { sha256: digest }))
  })

  it.each(['../outside', '/etc/hostname', 'sub/../../outside', '.'])(
    'a list or manifest that names %s is ERR_MANIFEST_INVALID',
    async (name) => {
      const inside = join(folder, 'inside')
      mkdirSync(join(inside, 'sub'), { recursive: true })
      writeFileSync(join(folder, 'outside'), 'x')
      const sums = join(inside, 'SHA256SUMS')
      writeFileSync(sums, `${'a'.repeat(64)}  ${name}\n`)
      await expectCode('ERR_MANIFEST_INVALID', () => verifyModel(sums))
      writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('layer-1.bin', name))
      await expectCode('ERR_MANIFEST_INVALID', () => verifyModel(manifest))
    },
  )

  it('a link that leaves the folder is ERR_MANIFEST_INVALID', async () => {
    const inside = join(folder, 'inside')
    mkdirSync(inside)
    symlinkSync(shards[0]!, join(inside, 'link'))
    writeFileSync(join(inside, 'SHA256SUMS'), `${sha256(shards[0]!)}  link\n`)
    await expectCode('ERR_MANIFEST_INVALID', () => verifyModel(join(inside, 'SHA256SUMS')))
  })

  it('lists that are none', async () => {
    for (const text of [
      '# nothing\n',
      `${'a'.repeat(64)} \n`,
      `${'a'.repeat(64)}\tname\n`,
      `\\${'a'.repeat(64)}  odd\\x\n`,
    ])
      await expectCode('ERR_MANIFEST_INVALID', () => verifyModel(list(text)))
    await expectCode('ERR_MODEL_NOT_FOUND', () => verifyModel(list(`${'a'.repeat(64)}  none\n`)))
  })

  it('a model of which nobody says what it should be is ERR_OPTION_INVALID', async () => {
    await expectCode('ERR_OPTION_INVALID', () => verifyModel(tiny))
    await expectCode('ERR_OPTION_INVALID', () => verifyModel(shards, { sha256: sha256(tiny) }))
  })
})

describe('digest lists', () => {
  it.each([[[]], [['--binary']]])('sha256sum %j writes what we read', async (options) => {
    const names = ['plain', 'two  spaces', 'new\nline', 'back\\slash', '*star', 'größe']
    for (const name of names) writeFileSync(join(folder, name), name)
    const text = execFileSync('sha256sum', [...options, '--', ...names], { cwd: folder })
    const verified = await verifyModel(list(`# made by a test\r\n\r\n${text}`))
    expect(verified.map(({ name }) => name)).toEqual(names)
  })

  it('sha256sum -c reads what we write', async () => {
    const names = ['plain', 'two  spaces', 'new\nline', 'back\\slash', '\\n', '*star', 'größe']
    for (const name of names) writeFileSync(join(folder, name), name)
    const text = formatDigestList(
      names.map((name) => {
        return { name, sha256: sha256(join(folder, name)) }
      }),
    )
    execFileSync('sha256sum', ['--strict', '-c', list(text)], { cwd: folder })
    expect((await verifyModel(join(folder, 'SHA256SUMS'))).map(({ name }) => name)).toEqual(names)
  })
})

describe('makeManifest', () => {
  it('is what splitModel writes, and is compared with the manifest that it comes from', async () => {
    const written = JSON.parse(readFileSync(manifest, 'utf8'))
    expect(await makeManifest(shards)).toEqual(written)
    expect(await makeManifest(manifest)).toEqual(written)
    flipByte(shards[0]!)
    await expectCode('ERR_DIGEST_MISMATCH', () => makeManifest(manifest))
    expect(await makeManifest(shards)).not.toEqual(written)
  })

  it('of files of several folders is ERR_OPTION_INVALID', async () => {
    const elsewhere = join(folder, 'elsewhere')
    mkdirSync(elsewhere)
    copyFileSync(shards[1]!, join(elsewhere, '1'))
    await expectCode('ERR_OPTION_INVALID', () => makeManifest([shards[0]!, join(elsewhere, '1')]))
  })
})

describe('what is remembered', () => {
  const memory = () => join(folder, 'home', 'digests.json')
  // The real model is old enough for its times to tell.
  const remembered = async () => {
    const expected = sha256(real)
    await verifyModel(real, { sha256: expected })
    return expected
  }
  const lie = () =>
    writeFileSync(memory(), readFileSync(memory(), 'utf8').replace(/[0-9a-f]{64}/, 'f'.repeat(64)))

  it('answers the second time, unless it is told not to', async () => {
    const expected = await remembered()
    lie()
    await verifyModel(real, { sha256: 'f'.repeat(64) }) // was not read
    await verifyModel(real, { sha256: expected, cache: false })
    await verifyModel(real, { sha256: expected }) // reading corrected the memory
  })

  it('does not answer for a file that changed and got its size and its time of change back', async () => {
    const path = join(folder, 'model.gguf')
    copyFileSync(tiny, path)
    const digest = sha256(path)
    const { atime, mtime } = statSync(path)
    // What is remembered of a file that changed a moment ago.
    while (!readMemory(memory()).includes(path)) await verifyModel(path, { sha256: digest })
    flipByte(path)
    utimesSync(path, atime, mtime)
    await expectCode('ERR_DIGEST_MISMATCH', () => verifyModel(path, { sha256: digest }))
  })

  it('damaged, is forgotten', async () => {
    const expected = await remembered()
    for (const text of ['', '[[1]]', '{}', '[["x",null]]', '[["x",{"identity":1}]]']) {
      writeFileSync(memory(), text)
      await verifyModel(real, { sha256: expected })
    }
  })
})

function readMemory(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
