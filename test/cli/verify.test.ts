import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { splitModel } from '../../lib/gguf/index.js'
import { runCli, startCli, startOnTerminal } from './run-cli.js'

const { tiny } = inject('models')
let folder: string
let manifest: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
  manifest = (await splitModel(tiny, { names: '%d', folder })).manifest!
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const cli = (...args: string[]) => runCli(args, { env: { SOTTO_HOME: join(folder, 'home') } })

function flipByte(path: string): void {
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(path, bytes)
}

describe('verify', () => {
  it('says of each file whether it is right; a wrong one is exit code 1 and its name', async () => {
    expect(await cli('verify', manifest)).toMatchObject({ code: 0, stdout: '0: ok\n1: ok\n' })
    flipByte(join(folder, '1'))
    const { code, stdout, stderr } = await cli('verify', manifest)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '0: ok\n1: FAILED\n' })
    expect(stderr).toMatch(/sotto: .* of 1, received .* \(ERR_DIGEST_MISMATCH\)\n$/)
    const json = JSON.parse((await cli('verify', manifest, '--json')).stdout)
    expect(json.error.code).toBe('ERR_DIGEST_MISMATCH')
  })

  it('a model of the store, and one that changed there', async () => {
    const { path } = JSON.parse((await cli('pull', tiny, '--name', 'mine', '--json')).stdout)
    for (const model of ['mine', path]) {
      const { code, stdout } = await cli('verify', model, '--json')
      expect(code).toBe(0)
      expect(JSON.parse(stdout).files).toMatchObject([{ name: 'mine', path }])
    }
    flipByte(path)
    expect(await cli('verify', 'mine')).toMatchObject({ code: 1, stdout: 'mine: FAILED\n' })
  })

  it('a model of which nothing is known is a usage error', async () => {
    const { code, stderr } = await cli('verify', tiny)
    expect(code).toBe(2)
    expect(stderr).toMatch(/--sha256/)
  })

  it('reads what it remembers with --no-cache only', async () => {
    await cli('verify', inject('models').real, '--sha256', 'f'.repeat(64))
    const memory = join(folder, 'home', 'digests.json')
    const found = JSON.parse(readFileSync(memory, 'utf8'))[0][1].sha256
    writeFileSync(memory, readFileSync(memory, 'utf8').replace(found, 'f'.repeat(64)))
    const verify = (...flags: string[]) =>
      cli('verify', inject('models').real, '--sha256', found, ...flags)
    expect((await verify()).code).toBe(1)
    expect((await verify('--no-cache')).code).toBe(0)
  })

  it('Ctrl-C stops it, and a terminal sees a bar', async () => {
    const large = join(folder, 'large')
    writeFileSync(large, '')
    truncateSync(large, 2 ** 36)
    const list = join(folder, 'SHA256SUMS')
    writeFileSync(list, `${'a'.repeat(64)}  large\n`)
    const running = startCli(['verify', list])
    running.process.stderr.once('data', () => running.process.kill('SIGINT'))
    expect(await running.ended).toMatchObject({ code: 130 })
    const { code, stdout } = await startOnTerminal(['verify', manifest, '--no-cache']).ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/verifying .*% of/)
  })
})

describe('manifest', () => {
  it('prints what split wrote, and a list that sha256sum reads', async () => {
    const { code, stdout } = await cli('manifest', manifest)
    expect({ code, stdout }).toEqual({ code: 0, stdout: readFileSync(manifest, 'utf8') })
    const list = await cli('manifest', manifest, '--digests')
    writeFileSync(join(folder, 'list'), list.stdout)
    execFileSync('sha256sum', ['--strict', '-c', 'list'], { cwd: folder })
    expect((await cli('verify', join(folder, 'list'))).code).toBe(0)
  })

  it('--out writes beside the model, over nothing but the manifest that it was made from', async () => {
    const model = join(folder, 'model.gguf')
    copyFileSync(tiny, model)
    const out = join(folder, 'model.manifest.json')
    expect(await cli('manifest', model, '--out', out)).toMatchObject({
      code: 0,
      stdout: `${out}\n`,
    })
    const run = await cli('run', out, '--raw', '--max-tokens', '1', 'Once')
    expect(run.code).toBe(0)
    expect((await cli('manifest', model, '--out', out)).code).toBe(2)
    expect((await cli('manifest', out, '--out', out)).code).toBe(0)
    const elsewhere = join(tmpdir(), 'elsewhere.json')
    expect(await cli('manifest', model, '--out', elsewhere)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('beside the model'),
    })
    expect(existsSync(elsewhere)).toBe(false)
  })

  it('--sign, and verify --key: exit code 1 for another key, 2 for none', async () => {
    const keys = ['ours', 'others'].map((name) => {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      const [secret, open] = ['key', 'pub'].map((kind) => join(folder, `${name}.${kind}.pem`))
      writeFileSync(secret!, privateKey.export({ type: 'pkcs8', format: 'pem' }))
      writeFileSync(open!, publicKey.export({ type: 'spki', format: 'pem' }))
      return { secret: secret!, open: open! }
    })
    const [ours, others] = keys
    const verify = (key: string) => cli('verify', manifest, '--key', key)
    expect((await verify(ours!.open)).stderr).toMatch(/no signature \(ERR_SIGNATURE_INVALID\)\n$/)
    const sign = ['manifest', manifest, '--sign', ours!.secret]
    expect((await cli(...sign, '--out', manifest)).code).toBe(0)
    expect((await verify(ours!.open)).code).toBe(0)
    expect(await verify(others!.open)).toMatchObject({ code: 1, stdout: '' })
    expect((await verify(join(folder, 'none'))).code).toBe(2)
    expect((await cli(...sign, '--digests')).code).toBe(2)
  })
})
