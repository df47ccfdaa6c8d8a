import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## Integrity\n([\s\S]*?)\n## /.exec(readFileSync('README.md', 'utf8'))!

describe("README's section on integrity", () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('its commands run, sha256sum agrees, and then its program runs', () => {
    const [commands, ...others] = codeBlocks(section!, 'sh')
    const programs = codeBlocks(section!, 'ts')
    expect([others.length, programs.length]).toEqual([0, 1])
    const sotto = `sotto() { "${process.execPath}" "${resolve('dist/cli/main.js')}" "$@"; }`
    const script = `${sotto}\n${commands}\nsha256sum --strict -c SHA256SUMS`
    const how = { cwd: folder, stdio: 'pipe', env: { ...process.env, SOTTO_HOME: folder } } as const
    execFileSync('bash', ['-ec', script], how)
    const program = ['--input-type=module', '-e', runnable(programs[0]!)]
    expect(String(execFileSync(process.execPath, program, how))).toMatch(/^true /)
  })
})
