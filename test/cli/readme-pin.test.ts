import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## Pinned prefixes\n([\s\S]*?)\n## /.exec(readFileSync('README.md', 'utf8'))!

it("the program of README's section on pinned prefixes finds all that it has pinned", () => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
  try {
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
    const [program] = codeBlocks(section!, 'ts')
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', runnable(program!)], {
      cwd: folder,
      encoding: 'utf8',
    })
    const [pinned, reused] = said.trim().split(' ').map(Number)
    expect(pinned).toBeGreaterThan(30)
    expect(reused).toBe(pinned)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
