import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## Names that point at models\n([\s\S]*?)\n## /.exec(
  readFileSync('README.md', 'utf8'),
)!

it("the program of README's section on names swaps a model under a conversation", () => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
  try {
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
    copyFileSync(inject('models').tools, join(folder, 'other.gguf'))
    const [program] = codeBlocks(section!, 'ts')
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', runnable(program!)], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    expect(said.split('\n')).toEqual([
      ...['chat is model.gguf', 'chat is other.gguf', 'true 1 true', 'true', 'true', ''],
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
