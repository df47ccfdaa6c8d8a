import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { runCli, startCli, startOnTerminal } from './run-cli.js'

const { tiny, real } = inject('models')
let folder: string
let model: string
let out: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
  model = join(folder, 'model.gguf')
  out = join(folder, 'out.gguf')
  copyFileSync(tiny, model)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('quantize', () => {
  it.each(['quantize', 'quantise'])(
    '%s writes a file, says which, and shows a bar',
    async (word) => {
      const { code, stdout } = await startOnTerminal([word, model, 'q4_k_m']).ended
      expect(code).toBe(0)
      expect(stdout).toMatch(/quantizing .*100% of/)
      expect(stdout).toContain(join(folder, 'model-Q4_K_M.gguf'))
      const json = await runCli([word, model, 'Q8_0', out, '--json', '--threads', '1', '--pure'])
      expect(JSON.parse(json.stdout)).toMatchObject({ path: out, type: 'Q8_0' })
    },
  )

  it('a wrong type, a file that is there and weights that are quantised are exit code 2 and say what to do', async () => {
    expect(await runCli(['quantize', model, 'Q4_K_X'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/did you mean Q4_K_\w\? \(ERR_OPTION_INVALID\)\n$/),
    })
    writeFileSync(out, 'mine')
    expect(await runCli(['quantize', model, 'Q8_0', out])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('set --overwrite'),
    })
    expect((await runCli(['quantize', model, 'Q8_0', out, '--overwrite'])).code).toBe(0)
    expect(await runCli(['quantize', out, 'Q4_0', join(folder, 'q4.gguf')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--allow-requantize'),
    })
  })

  it('Ctrl-C keeps nothing', async () => {
    const running = startCli(['quantize', real, 'Q4_K_M', out, '--allow-requantize'])
    running.process.stderr.once('data', () => running.process.kill('SIGINT'))
    expect(await running.ended).toMatchObject({
      code: 130,
      stderr: expect.stringMatching(/sotto: interrupted; nothing was kept\n$/),
    })
    expect(readdirSync(folder)).toEqual(['model.gguf'])
  })
})

const text = () => {
  const path = join(folder, 'text.txt')
  copyFileSync('README.md', path)
  return path
}

describe('imatrix', () => {
  const flags = ['--context', '64', '--chunks', '3', '--threads', '1']

  it('writes what quantize takes, beside the model or where it is told', async () => {
    const { code, stdout } = await startOnTerminal(['imatrix', model, text(), ...flags]).ended
    expect(code).toBe(0)
    const path = join(folder, 'model.imatrix.gguf')
    expect(stdout).toMatch(/measuring .*100%/)
    expect(stdout).toContain(path)
    expect(stdout).toMatch(/14 tensors, 192 tokens in 3 windows/)
    const input = readFileSync('README.md', 'utf8')
    const json = await runCli(['imatrix', model, '-', out, ...flags, '--json'], { input })
    expect(JSON.parse(json.stdout)).toEqual({
      ...{ model, path: out, tensors: 14, tokens: 192, chunks: 3 },
    })
    const quantized = await runCli(['quantize', model, 'Q4_K_M', '--imatrix', path])
    expect(quantized.code).toBe(0)
  })

  it('Ctrl-C, and a text that is too short, leave nothing', async () => {
    const running = startCli(['imatrix', real, text(), out])
    running.process.stderr.on('data', (said) => {
      if (/measuring/.test(String(said))) running.process.kill('SIGINT')
    })
    expect(await running.ended).toMatchObject({
      code: 130,
      stderr: expect.stringMatching(/sotto: interrupted; nothing was kept\n$/),
    })
    expect(await runCli(['imatrix', model, '-', out], { input: 'short' })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\(ERR_TEXT_TOO_SHORT\)\n$/),
    })
    expect(readdirSync(folder)).toEqual(['model.gguf', 'text.txt'])
  })
})

describe('perplexity and compare', () => {
  it('print a line, or JSON, of a file or of stdin', async () => {
    const flags = ['--context', '64', '--chunks', '3', '--threads', '1']
    const { code, stdout } = await runCli(['perplexity', model, text(), ...flags])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^[\d.]+ ± [\d.]+, 93 tokens in 3 windows of 64\n$/)
    const input = readFileSync('README.md', 'utf8')
    const json = await runCli(['perplexity', model, '-', ...flags, '--json'], { input })
    const found = JSON.parse(json.stdout)
    expect(found).toMatchObject({ model, scored: 93, chunks: 3, contextSize: 64 })
    expect(stdout).toContain(found.perplexity.toFixed(4))
  })

  it('compare prints both perplexities, their ratio, divergence and agreement', async () => {
    await runCli(['quantize', model, 'Q8_0', out])
    const compare = ['compare', model, out, '--text', text(), '--context', '64', '--chunks', '3']
    const { code, stdout } = await runCli([...compare, '--threads', '1'])
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^Perplexity of .*\nPerplexity of .*\nRatio: .*%\)\nKullback.*\nSame .* %\n93 tokens/,
    )
    const json = JSON.parse((await runCli([...compare, '--json'])).stdout)
    expect(json).toMatchObject({ model, other: out, ratio: { value: expect.any(Number) } })
  })

  it('a text that is not there is exit code 2, a short one and another vocabulary are 1', async () => {
    expect((await runCli(['perplexity', model, join(folder, 'none')])).code).toBe(2)
    expect((await runCli(['compare', model, real])).code).toBe(2)
    expect(await runCli(['perplexity', model, '-'], { input: 'short' })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\(ERR_TEXT_TOO_SHORT\)\n$/),
    })
    expect(await runCli(['compare', model, real, '--text', text()])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\(ERR_VOCABULARY_MISMATCH\)\n$/),
    })
  })

  it('Ctrl-C ends a measurement', async () => {
    const running = startCli(['perplexity', real, text()])
    running.process.stderr.on('data', (said) => {
      if (/measuring/.test(String(said))) running.process.kill('SIGINT')
    })
    expect(await running.ended).toMatchObject({ code: 130 })
  })
})
