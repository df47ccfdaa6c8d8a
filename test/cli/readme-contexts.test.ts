import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## Kept conversations\n([\s\S]*?)\n## /.exec(
  readFileSync('README.md', 'utf8'),
)!

it("the program of README's section on kept conversations finds what it has saved", () => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
  try {
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
    const [program] = codeBlocks(section!, 'ts')
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', runnable(program!)], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [reused, prompt] = /(\d+) of (\d+) tokens/.exec(said)!.slice(1).map(Number)
    expect(reused).toBeGreaterThan(20)
    expect(prompt).toBeGreaterThan(reused!)
    expect(readdirSync(join(folder, 'chats'))).toHaveLength(2)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
