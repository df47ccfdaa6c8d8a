import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const [, section] = /\n## Quantisation\n([\s\S]*?)\n## /.exec(readFileSync('README.md', 'utf8'))!

describe("README's section on quantisation", () => {
  let folder: string
  let how: { cwd: string; stdio: 'pipe'; env: NodeJS.ProcessEnv }
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-readme-'))
    copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
    copyFileSync('README.md', join(folder, 'text.txt'))
    how = { cwd: folder, stdio: 'pipe', env: { ...process.env, OMP_NUM_THREADS: '1' } }
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('its commands run', () => {
    const commands = codeBlocks(section!, 'sh')
    expect(commands).toHaveLength(1)
    const sotto = `sotto() { "${process.execPath}" "${resolve('dist/cli/main.js')}" "$@"; }`
    const said = String(execFileSync('bash', ['-ec', `${sotto}\n${commands[0]}`], how))
    expect(said).toMatch(
      /of Q4_K_M\n[\s\S]*4096 tokens in 8 windows\n[\s\S]*of Q5_K_M\n[\s\S]*of Q8_0\n[\d.]+ ± [\d.]+, 2040 tokens[\s\S]*Ratio: /,
    )
  })

  it('its program runs', () => {
    const programs = codeBlocks(section!, 'ts')
    expect(programs).toHaveLength(1)
    const program = ['--input-type=module', '-e', runnable(programs[0]!)]
    const [figures, perplexity] = String(execFileSync(process.execPath, program, how)).split('\n')
    expect(figures).toMatch(/^(?:0\.9|1\.0)\d+ 0\.\d+ 0\.\d+$/)
    expect(Number(perplexity)).toBeGreaterThan(1)
  })
})
