import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Outcome, RunningCli } from './run-cli.js'

// The package as it is where neither a prebuilt nor a compiled addon is.
describe('without native code', () => {
  const { tiny } = inject('models')
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
    cpSync('dist', join(folder, 'dist'), { recursive: true })
    cpSync('package.json', join(folder, 'package.json'))
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function runBare(...args: string[]): Promise<Outcome> {
    const running = new RunningCli(
      process.execPath,
      [join(folder, 'dist', 'cli', 'main.js'), ...args],
      { SOTTO_HOME: folder },
    )
    running.process.stdin.end()
    return running.ended
  }

  it.each([
    [['--help']],
    [['list', '--log-level', 'debug']],
    [['inspect', tiny]],
    [['pull', tiny, '--name', 'tiny']],
  ])('%j works', async (args) => {
    expect(await runBare(...args)).toMatchObject({ code: 0 })
  })

  it('run fails with one sentence', async () => {
    const { code, stderr } = await runBare('run', tiny, 'hi')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^sotto: .* \(ERR_NATIVE_MISSING\)\n$/)
  })

  it('system says what it can, and that there is none', async () => {
    const { code, stdout } = await runBare('system', '--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      node: process.version,
      error: { code: 'ERR_NATIVE_MISSING' },
    })
    expect((await runBare('system')).stdout).toMatch(/^No native code: .* \(ERR_NATIVE_MISSING\)$/m)
  })
})
