import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { runCli, startCli, startOnTerminal } from './run-cli.js'

const { tiny, real, untemplated } = inject('models')

// The tiny model is random: sampled, it ends an answer at any token.
const greedy = ['--temperature', '0']

describe('run', () => {
  let folder: string
  let endless: string[]
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
    const grammar = join(folder, 'endless.gbnf')
    writeFileSync(grammar, 'root ::= "a" root')
    endless = ['--grammar-file', grammar]
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('answers with the real model, on stdout and nothing else', async () => {
    const prompt = 'Why is the sky blue?'
    const { code, stdout, stderr } = await runCli([
      ...['run', real, prompt, '--temperature', '0', '--max-tokens', '32'],
    ])
    expect(code).toBe(0)
    expect(stdout).toMatch(/sky|light|blue/)
    expect(stdout).toMatch(/[^\n]\n$/)
    expect(stderr).toBe('')
  })

  it('joins the words of a prompt that nobody quoted', async () => {
    const words = await runCli([
      'run',
      tiny,
      'one',
      'two',
      '--temperature',
      '0',
      '--max-tokens',
      '8',
    ])
    const quoted = await runCli(['run', tiny, 'one two', '--temperature', '0', '--max-tokens', '8'])
    expect(words).toEqual(quoted)
  })

  it.each([[[]], [['-']]])('reads the prompt from stdin when it is given as %j', async (prompt) => {
    const options = ['--temperature', '0', '--max-tokens', '8']
    const piped = await runCli(['run', tiny, ...prompt, ...options], { input: 'one two\n' })
    expect(piped).toEqual(await runCli(['run', tiny, 'one two', ...options]))
    expect(piped.code).toBe(0)
  })

  it('refuses an empty prompt', async () => {
    const { code, stderr } = await runCli(['run', tiny])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^sotto: Expected a prompt.* \(ERR_PROMPT_INVALID\)\n$/)
  })

  it('prints one object with --json', async () => {
    const { code, stdout } = await runCli([
      'run',
      tiny,
      'hi',
      ...greedy,
      '--json',
      '--max-tokens',
      '5',
    ])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      model: 'tiny random',
      text: expect.any(String),
      finishReason: 'length',
      usage: { tokensGenerated: 5 },
      timings: { tokensPerSecond: expect.any(Number) },
    })
  })

  it('prints parts and then the result with --ndjson', async () => {
    const { stdout } = await runCli([
      'run',
      tiny,
      'hi',
      ...greedy,
      '--ndjson',
      '--max-tokens',
      '30',
    ])
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const result = lines.pop()
    expect(result).toMatchObject({ type: 'result', finishReason: 'length' })
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.every(({ type }) => type === 'text')).toBe(true)
    expect(lines.map(({ text }) => text).join('')).toBe(result.text)
  })

  it('repeats itself with the same seed', async () => {
    const options = [
      'run',
      tiny,
      'hi',
      '--seed',
      '7',
      '--top-k',
      '50',
      '--top-p',
      '0.9',
      '--min-p',
      '0.01',
      '--max-tokens',
      '20',
    ]
    expect(await runCli(options)).toEqual(await runCli(options))
  })

  it('continues the text with --raw, and where there is no template', async () => {
    const tokens = async (...args: string[]) => {
      const { stdout } = await runCli(['run', ...args, '--json', '--max-tokens', '2', 'hi'])
      return JSON.parse(stdout).usage.tokensPrompt as number
    }
    const raw = await tokens(tiny, '--raw')
    expect(raw).toBeLessThan(await tokens(tiny))
    expect(raw).toBe(await tokens(untemplated))
  })

  it.each([
    [[tiny, '--raw'], 'beside --raw'],
    [[untemplated], 'without a chat template'],
  ])('refuses a system message that would not be heard', async (args, reason) => {
    const { code, stderr } = await runCli(['run', ...args, '--system', 'Be brief.', 'hi'])
    expect(code).toBe(2)
    expect(stderr).toContain(reason)
  })

  it('puts the system message before the prompt', async () => {
    const { stdout } = await runCli([
      'run',
      tiny,
      '--system',
      'Be brief.',
      '--json',
      '--max-tokens',
      '1',
      'hi',
    ])
    const { stdout: without } = await runCli(['run', tiny, '--json', '--max-tokens', '1', 'hi'])
    expect(JSON.parse(stdout).usage.tokensPrompt).toBeGreaterThan(
      JSON.parse(without).usage.tokensPrompt,
    )
  })

  it('follows a grammar and a JSON schema, from files and in place', async () => {
    const grammar = join(folder, 'answer.gbnf')
    writeFileSync(grammar, 'root ::= "yes" | "no"')
    expect((await runCli(['run', tiny, 'hi', '--grammar-file', grammar])).stdout).toMatch(
      /^(yes|no)\n$/,
    )
    const schema =
      '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}'
    const file = join(folder, 'schema.json')
    writeFileSync(file, schema)
    for (const given of [schema, file]) {
      const { stdout } = await runCli(['run', tiny, 'hi', '--raw', '--json-schema', given])
      expect(JSON.parse(stdout)).toEqual({ ok: expect.any(Boolean) })
    }
  })

  it.each([
    ['--grammar-file', 'root ::= (', 'ERR_GRAMMAR_INVALID'],
    ['--json-schema', '{"type":', 'ERR_SCHEMA_INVALID'],
  ])('refuses a broken %s', async (option, text, errorCode) => {
    const file = join(folder, 'broken')
    writeFileSync(file, text)
    const { code, stderr } = await runCli(['run', tiny, 'hi', option, file])
    expect(code).toBe(1)
    expect(stderr).toMatch(new RegExp(`^sotto: .* \\(${errorCode}\\)\n$`))
  })

  it('ends at a stop string, which is not shown', async () => {
    const { stdout } = await runCli([
      'run',
      real,
      'Count from 1 to 9.',
      '--temperature',
      '0',
      '--stop',
      '7',
      '--stop',
      '3',
      '--max-tokens',
      '60',
      '--json',
    ])
    const { text, finishReason } = JSON.parse(stdout)
    expect(finishReason).toBe('stop')
    expect(text).toContain('2')
    expect(text).not.toContain('3')
  })

  it('prints speeds to stderr with --timings', async () => {
    const { stderr } = await runCli([
      'run',
      tiny,
      'hi',
      ...greedy,
      '--timings',
      '--max-tokens',
      '3',
    ])
    expect(stderr).toMatch(
      /^prompt \d+ tokens \(0 reused\) in \d+ ms, first token after \d+ ms, 3 tokens at [\d.]+ tokens\/s\n$/,
    )
  })

  it.each([
    [[]],
    [['--draft', real]],
    [['--no-speculation']],
    [['--draft', real, '--no-speculation']],
  ])('writes with %j what it writes one token at a time', async (options) => {
    const ask = ['run', real, 'Repeat after me: red, green, blue, red, green, blue.']
    const answer = async (...args: string[]) => {
      const asked = [...ask, ...greedy, '--context', '512', '--max-tokens', '48', ...args]
      return JSON.parse((await runCli([...asked, '--json'])).stdout)
    }
    const { text, usage } = await answer(...options)
    expect(text).toBe((await answer('--no-speculation')).text)
    // Whether proposals pay is measured while it runs: only that there are none can be said beforehand.
    if (options.includes('--no-speculation')) expect(usage.tokensDrafted).toBe(0)
  })

  it.each([
    [() => tiny, /vocabulary.* \(ERR_DRAFT_INVALID\)\n$/],
    [() => '/nowhere/draft.gguf', /\/nowhere\/draft\.gguf.* \(ERR_MODEL_NOT_FOUND\)\n$/],
  ])('refuses a draft model that does not fit or is not there', async (draft, reason) => {
    for (const command of ['run', 'chat']) {
      const { code, stdout, stderr } = await runCli([command, real, '--draft', draft()], {
        input: 'hi\n',
      })
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(reason)
    }
  })

  it('says so when the context cuts the answer off', async () => {
    const { code, stderr } = await runCli(['run', tiny, 'hi', '--context', '256', ...endless])
    expect(code).toBe(0)
    expect(stderr).toMatch(/the context is full/)
  })

  it('refuses a prompt that is longer than the context', async () => {
    const { code, stderr } = await runCli(['run', tiny, '--context', '256'], {
      input: 'x y '.repeat(1000),
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/\(ERR_PROMPT_TOO_LONG\)\n$/)
  })

  it('passes --log-level to native code', async () => {
    expect(
      (await runCli(['run', tiny, 'hi', '--max-tokens', '1', '--log-level', 'info'])).stderr,
    ).toContain('llama')
  })

  it('exits 0, quietly, when the reader has enough', async () => {
    const running = startCli(['run', tiny, 'hi', '--context', '8000', ...endless])
    running.process.stdin.end()
    await running.shows(/./s)
    running.process.stdout.destroy()
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
  })

  it('stops at SIGINT with what it has, and exits 130', async () => {
    const running = startCli(['run', tiny, 'hi', '--context', '8000', ...endless])
    running.process.stdin.end()
    await running.shows(/./s)
    running.process.kill('SIGINT')
    const { code, stdout, stderr } = await running.ended
    expect(code).toBe(130)
    expect(stderr).toBe('')
    expect(stdout.length).toBeGreaterThan(1)
  })

  it('prints an aborted result with --json', async () => {
    const running = startCli(['run', tiny, 'hi', '--ndjson', '--context', '8000', ...endless])
    running.process.stdin.end()
    await running.shows(/\n/)
    running.process.kill('SIGINT')
    const { code, stdout } = await running.ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({
      type: 'result',
      finishReason: 'abort',
    })
  })

  it('exits 130 at SIGINT while it waits for a prompt', async () => {
    const running = startOnTerminal(['run', tiny])
    await running.shows(/Type a prompt, then Ctrl-D:/)
    running.type('\x03')
    expect((await running.ended).code).toBe(130)
  })

  it('reads a prompt from a terminal and shows no control character of the answer', async () => {
    const grammar = join(folder, 'controls.gbnf')
    writeFileSync(grammar, 'root ::= [\\x01-\\x1f]{200}')
    const running = startOnTerminal(['run', tiny, '--temperature', '1', '--grammar-file', grammar])
    await running.shows(/Ctrl-D:/)
    running.type('hello\r\x04')
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    const answer = stdout.slice(stdout.indexOf('hello\r\n') + 7).replaceAll('\r\n', '\n')
    expect(answer).toMatch(/^[\u2400-\u241f\t\n]{200,}$/)
    expect(answer).toContain('␛')
  })
})
