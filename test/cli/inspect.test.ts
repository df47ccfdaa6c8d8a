import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { writeGguf } from '../../lib/gguf/writer.js'
import { runCli } from './run-cli.js'

describe('inspect', () => {
  const { tiny, lora, real } = inject('models')
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('shows metadata, tensors by type, and the memory that the model will take', async () => {
    const { code, stdout } = await runCli(['inspect', real])
    expect(code).toBe(0)
    expect(stdout).toContain('general.architecture = "llama"')
    expect(stdout).toContain('llama.attention.layer_norm_rms_epsilon = 0.00001\n')
    expect(stdout).toMatch(/tokenizer\.ggml\.tokens = string\[49152\] "<\|endoftext\|>"/)
    expect(stdout).toMatch(/^272 tensors: /m)
    expect(stdout).toMatch(/^Memory: \d+\.\d MB \(weights 96\.6 MB, KV cache \d/m)
    expect(stdout).not.toContain('token_embd.weight')
  })

  it('lists every tensor when asked', async () => {
    const { stdout } = await runCli(['inspect', tiny, '--tensors'])
    expect(stdout).toMatch(/^ {2}token_embd\.weight {2}F32 {2}64 x 512 {2}131\.1 kB$/m)
  })

  it('prints all of it as JSON', async () => {
    const { stdout } = await runCli(['inspect', tiny, '--json', '--context', '2048'])
    const shown = JSON.parse(stdout)
    expect(shown).toMatchObject({ path: tiny, version: 3, byteOrder: 'little', loads: true })
    expect(shown.metadata['general.architecture']).toBe('llama')
    expect(shown.tensors).toContainEqual(
      expect.objectContaining({ name: 'token_embd.weight', type: 'F32', dimensions: [64, 512] }),
    )
    const { stdout: doubled } = await runCli(['inspect', tiny, '--json', '--context', '4096'])
    expect(JSON.parse(doubled).memory.kv).toBe(shown.memory.kv * 2)
  })

  it('shows what does not load, and says why', async () => {
    const { code, stdout } = await runCli(['inspect', lora])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Does not load: a LoRA adapter/m)
    const path = join(folder, 'empty.gguf')
    writeGguf(path, [{ key: 'general.architecture', type: 'string', value: 'llama' }], [])
    const { loads, code: errorCode } = JSON.parse(
      (await runCli(['inspect', path, '--json'])).stdout,
    )
    expect({ loads, errorCode }).toEqual({ loads: false, errorCode: 'ERR_MODEL_FORMAT' })
  })

  it('does not let a file write to the terminal what it likes', async () => {
    const path = join(folder, 'hostile.gguf')
    const value = 'a\x1b]0;title\x07\u009b31m'
    writeGguf(path, [{ key: 'general.\x1b[2Jname', type: 'string', value }], [])
    const { code, stdout } = await runCli(['inspect', path])
    expect(code).toBe(0)
    expect(stdout).toContain('general.␛[2Jname')
    expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
  })

  it.each([
    ['lmgg', 'a GGML file'],
    ['fmgg', 'a GGMF file'],
    ['tjgg', 'a GGJT file'],
  ])(
    'names the legacy format of a file that begins with %s, and how to convert it',
    async (magic, name) => {
      const path = join(folder, `${magic}.bin`)
      writeFileSync(path, Buffer.concat([Buffer.from(magic), Buffer.alloc(100)]))
      const { code, stderr } = await runCli(['inspect', path])
      expect(code).toBe(1)
      expect(stderr).toContain(name)
      expect(stderr).toMatch(/convert.* \(ERR_MODEL_LEGACY\)\n$/)
    },
  )

  it.each([
    ['empty', (_whole: Buffer) => Buffer.alloc(0)],
    ['truncated in its head', (whole: Buffer) => whole.subarray(0, 1000)],
    ['truncated in its tensors', (whole: Buffer) => whole.subarray(0, -1000)],
  ])('refuses a file that is %s', async (name, damage) => {
    const path = join(folder, `${name}.gguf`)
    writeFileSync(path, damage(readFileSync(tiny)))
    const { code, stderr } = await runCli(['inspect', path])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^sotto: .* \(ERR_MODEL_FORMAT\)\n$/)
  })

  it('refuses a context that cannot be', async () => {
    expect((await runCli(['inspect', tiny, '--context', '-5'])).code).toBe(2)
  })
})
