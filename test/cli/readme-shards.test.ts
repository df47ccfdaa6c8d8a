import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## Shards\n([\s\S]*?)\n## /.exec(readFileSync('README.md', 'utf8'))!

describe("README's section on shards", () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
  })
  afterEach(() => {
    // Both ways end with the model in one file again.
    const [merged, model] = ['merged.gguf', 'model.gguf'].map((name) =>
      readFileSync(join(folder, name)),
    )
    rmSync(folder, { recursive: true, force: true })
    expect(merged!.equals(model!)).toBe(true)
  })

  it('its commands run', () => {
    const commands = codeBlocks(section!, 'sh')
    expect(commands).toHaveLength(1)
    const sotto = `sotto() { "${process.execPath}" "${resolve('dist/cli/main.js')}" "$@" \${LIMIT-}; }`
    // A model that says nothing never ends.
    const script = commands[0]!.replace(/^sotto run/m, 'LIMIT="--max-tokens 4" sotto run')
    execFileSync('bash', ['-ec', `${sotto}\n${script}`], { cwd: folder, stdio: 'pipe' })
  })

  it('its program runs', () => {
    const programs = codeBlocks(section!, 'ts')
    expect(programs).toHaveLength(1)
    const program = runnable(programs[0]!)
    execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: folder,
      stdio: 'pipe',
    })
  })
})
