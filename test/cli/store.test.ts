import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { runCli, startOnTerminal } from './run-cli.js'

describe('pull, list and remove', () => {
  const { tiny, real } = inject('models')
  let folder: string
  let env: NodeJS.ProcessEnv
  let count = 0
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
  })
  beforeEach(() => {
    env = { SOTTO_HOME: join(folder, String(count++)) }
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('pulls a local file under a name, which every command then knows', async () => {
    const pulled = await runCli(['pull', tiny, '--name', 'mine', '--json'], { env })
    expect(pulled.code).toBe(0)
    const model = JSON.parse(pulled.stdout) as { name: string; path: string; sha256: string }
    expect(model.name).toBe('mine')
    expect(readFileSync(model.path).equals(readFileSync(tiny))).toBe(true)
    const listed = JSON.parse((await runCli(['list', '--json'], { env })).stdout)
    expect(listed.stored).toEqual([model])
    expect((await runCli(['run', 'mine', 'hi', '--max-tokens', '2'], { env })).code).toBe(0)
    const { stdout } = await runCli(['inspect', 'mine', '--json'], { env })
    expect(JSON.parse(stdout).path).toBe(model.path)
  })

  it('lists stored models before those that can be pulled', async () => {
    await runCli(['pull', tiny, '--name', 'zzz'], { env })
    const { code, stdout, stderr } = await runCli(['list'], { env })
    expect(code).toBe(0)
    expect(stderr).toBe('')
    const rows = stdout.trimEnd().split('\n')
    expect(rows[0]).toMatch(/^zzz .* (k|M)B .*zzz\.gguf$/)
    expect(rows[1]).toMatch(/^smollm2-135m-instruct +98\.4 MB {2}not pulled: .*Apache-2\.0$/)
  })

  it('prints plain lines of at least a tenth in a pipe, on stderr', async () => {
    const { code, stdout, stderr } = await runCli(['pull', real, '--name', 'copy'], { env })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^copy {2}98\.4 MB {2}.*copy\.gguf\n$/)
    const lines = stderr.trimEnd().split('\n')
    expect(lines.length).toBeGreaterThan(9)
    expect(lines.length).toBeLessThan(25)
    expect(lines).toContain(`verifying ${real} 50% of 98.4 MB`)
    expect(stderr).not.toContain('\x1b')
  })

  it('draws a bar on a terminal', async () => {
    const running = startOnTerminal(['pull', real, '--name', 'copy'], env)
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/verifying .* ={30} 100% of 98\.4 MB/)
  })

  it('refuses a wrong digest and leaves nothing behind', async () => {
    const { code, stderr } = await runCli(
      ['pull', tiny, '--name', 'mine', '--sha256', '0'.repeat(64)],
      { env },
    )
    expect(code).toBe(1)
    expect(stderr).toMatch(/\nsotto: Expected SHA-256 0{64} .* \(ERR_DIGEST_MISMATCH\)\n$/)
    expect(JSON.parse((await runCli(['list', '--json'], { env })).stdout).stored).toEqual([])
  })

  it.each([
    [['pull', 'no-such-file.gguf'], 1, 'ERR_MODEL_NOT_FOUND'],
    [['pull', 'package.json'], 1, 'ERR_MODEL_FORMAT'],
    [['pull', '.'], 1, 'ERR_MODEL_UNREADABLE'],
    [['pull', tiny, '--name', '../out'], 2, 'ERR_OPTION_INVALID'],
    [['pull', tiny, '--sha256', 'abc'], 2, 'ERR_OPTION_INVALID'],
    [['pull', 'ftp://example.com/model.gguf'], 2, 'ERR_SOURCE_INVALID'],
    [['remove', 'no-such-model'], 1, 'ERR_MODEL_NOT_FOUND'],
    [['remove', '../out'], 2, 'ERR_OPTION_INVALID'],
  ])('%j fails with %i, %s', async (args, code, errorCode) => {
    const outcome = await runCli(args, { env })
    expect(outcome.stderr).toMatch(new RegExp(`^sotto: .* \\(${errorCode}\\)\n$`, 'm'))
    expect(outcome.code).toBe(code)
    expect(outcome.stdout).toBe('')
  })

  it('removes a model', async () => {
    const { path } = JSON.parse(
      (await runCli(['pull', tiny, '--name', 'mine', '--json'], { env })).stdout,
    ) as { path: string }
    expect((await runCli(['remove', 'mine'], { env })).code).toBe(0)
    expect(existsSync(path)).toBe(false)
  })

  it('says what to do by hand when a model of the catalogue cannot be fetched', async () => {
    const offline = {
      ...env,
      PIP_INDEX_URL: 'http://127.0.0.1:9/simple',
      PIP_RETRIES: '0',
      PIP_EXTRA_INDEX_URL: '',
      PIP_NO_CACHE_DIR: '1',
    }
    const { code, stderr } = await runCli(['run', 'smollm2-135m-instruct', 'hi'], { env: offline })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /sotto: .*sotto pull <path to it> --name smollm2-135m-instruct.* \(ERR_OFFLINE\)\n$/,
    )
  })

  it("says that a home which cannot be written is the disk's fault", async () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    const { code, stderr } = await runCli(['pull', tiny], { env: { SOTTO_HOME: file } })
    expect(code).toBe(1)
    expect(stderr).toMatch(/SOTTO_HOME.* \(ERR_DISK\)\n$/)
  })
})
