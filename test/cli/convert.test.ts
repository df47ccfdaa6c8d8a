import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readGguf } from '../../lib/gguf/index.js'
import { codeBlocks, runnable } from '../helpers/examples.js'
import { writeLegacy, writePieceModel } from '../helpers/legacy-model.js'
import { runCli, startOnTerminal } from './run-cli.js'

let folder: string
let old: string
let out: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
  old = join(folder, 'old.bin')
  out = join(folder, 'new.gguf')
  await writeLegacy(old, writePieceModel(join(folder, 'pieces.gguf')), {
    format: 'ggjt',
    version: 3,
  })
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('convert', () => {
  it('writes a model with what the old header did not say, and it answers', async () => {
    const facts = ['--context-length', '4096', '--rms-epsilon', '1e-5', '--rope-base', '5e5']
    const { code, stdout } = await startOnTerminal(['convert', old, out, ...facts, '--name', 'Ada'])
      .ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/converting .*100% of/)
    expect(stdout).toContain(`${out}  `)
    const { metadata } = await readGguf(out)
    expect(metadata.get('general.name')).toBe('Ada')
    expect(metadata.get('llama.context_length')).toBe(4096)
    expect(metadata.get('llama.attention.layer_norm_rms_epsilon')).toBe(Math.fround(1e-5))
    expect(metadata.get('llama.rope.freq_base')).toBe(5e5)
    expect((await runCli(['run', out, 'Once', '--max-tokens', '3'])).code).toBe(0)
  })

  it('takes what is usual for what it is not told', async () => {
    expect((await runCli(['convert', old, out, '--json'])).code).toBe(0)
    const { metadata } = await readGguf(out)
    expect(metadata.get('general.name')).toBe('old')
    expect(metadata.get('llama.context_length')).toBe(2048)
    expect(metadata.get('llama.attention.layer_norm_rms_epsilon')).toBe(Math.fround(5e-6))
    expect(metadata.get('llama.attention.head_count_kv')).toBe(2)
    expect(metadata.has('llama.rope.freq_base')).toBe(false)
  })

  it('a file that is there, a wrong count of heads and a GGUF file are refused', async () => {
    await runCli(['convert', old, out])
    expect((await runCli(['convert', old, out])).code).toBe(2)
    const other = join(folder, 'other.gguf')
    expect(await runCli(['convert', old, other, '--kv-heads', '3'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--kv-heads'),
    })
    expect(await runCli(['convert', out, other])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\(ERR_MODEL_FORMAT\)\n$/),
    })
    expect(existsSync(other)).toBe(false)
  })
})

describe("README's section on older formats", () => {
  const [, section] = /\n## Older formats\n([\s\S]*?)\n## /.exec(readFileSync('README.md', 'utf8'))!
  const how = () => ({ cwd: folder, stdio: 'pipe' }) as const

  it('its commands run', () => {
    const [commands] = codeBlocks(section!, 'sh')
    const sotto = `sotto() { "${process.execPath}" "${resolve('dist/cli/main.js')}" "$@"; }`
    expect(String(execFileSync('bash', ['-ec', `${sotto}\n${commands}`], how()))).toMatch(
      /^ggjt version 3[\s\S]*new\.gguf {2}/m,
    )
  })

  it('its program runs', () => {
    const [program] = codeBlocks(section!, 'ts')
    const run = ['--input-type=module', '-e', runnable(program!)]
    expect(String(execFileSync(process.execPath, run, how()))).toBe('ggjt 3 F32 new.gguf\n')
  })
})
