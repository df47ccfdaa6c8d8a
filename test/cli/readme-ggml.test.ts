import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { loadGguf } from '../../lib/ggml/index.js'
import { native } from '../../lib/native.js'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## ggml\n([\s\S]*?)\n## /.exec(readFileSync('README.md', 'utf8'))!

describe("README's section on ggml", () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('its program runs, and learns XOR', async () => {
    const programs = codeBlocks(section!, 'ts')
    expect(programs.length).toBe(1)
    const program = ['--input-type=module', '-e', runnable(programs[0]!)]
    const said = String(execFileSync(process.execPath, program, { cwd: folder }))
    expect(said).toMatch(/^XOR is 0 1 1 0 true\n./)
    const { context, tensors } = await loadGguf(join(folder, 'xor.gguf'))
    expect([...tensors.keys()]).toEqual(['first', 'bias', 'second'])
    await context.close()
  })

  it('it knows how many operations there are', () => {
    expect(section).toContain(`${native().tensorOperations().length} of them`)
  })
})
