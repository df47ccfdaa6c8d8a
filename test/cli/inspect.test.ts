import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { writeGguf } from '../../lib/gguf/writer.js'
import { quantizeModel } from '../../lib/index.js'
import { writeLegacy, writePieceModel } from '../helpers/legacy-model.js'
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
    [{ format: 'ggml', version: 0 }, /^ggml, which had no versions, /m],
    [{ format: 'ggmf', version: 1 }, /^ggmf version 1, /m],
    [{ format: 'ggjt', version: 3 }, /^ggjt version 3, /m],
  ] as const)(
    'describes a model in $format $version, and how to convert it',
    async (format, name) => {
      const path = join(folder, `${format.format}.bin`)
      await writeLegacy(path, writePieceModel(join(folder, 'pieces.gguf')), format)
      const { code, stdout } = await runCli(['inspect', path, '--tensors'])
      expect(code).toBe(0)
      expect(stdout).toMatch(name)
      expect(stdout).toMatch(/^embedding = 64\n[\s\S]*^file type = F32\ntokens = 512 with/m)
      expect(stdout).toMatch(/21 tensors: 21 F32\n {2}tok_embeddings\.weight {2}F32 {2}64 x 512/)
      expect(stdout).toMatch(/sotto convert/)
      const json = JSON.parse((await runCli(['inspect', path, '--json'])).stdout)
      expect(json).toMatchObject({
        ...format,
        loads: false,
        converts: true,
        vocabulary: { tokens: 512 },
      })
    },
  )

  it('says of an old model that cannot be converted why, and of a damaged one that it is', async () => {
    const path = join(folder, 'old.bin')
    const source = writePieceModel(join(folder, 'pieces.gguf'))
    const q8 = join(folder, 'q8.gguf')
    await quantizeModel(source, 'Q8_0', q8, { overwrite: true })
    await writeLegacy(path, q8, { format: 'ggjt', version: 2 })
    expect((await runCli(['inspect', path])).stdout).toMatch(
      /cannot be converted: .*Q8_0 of ggjt version 2.* \(ERR_MODEL_LEGACY\)\n$/,
    )
    truncateSync(path, 5000)
    const { code, stderr } = await runCli(['inspect', path])
    expect(code).toBe(1)
    expect(stderr).toMatch(/\(ERR_MODEL_FORMAT\)\n$/)
  })

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
