import { describe, expect, inject, it } from 'vitest'
import { runCli, startCli, startOnTerminal } from './run-cli.js'

const { tiny, real, untemplated } = inject('models')
const forever = ['--max-tokens', '100000', '--context', '8000', '--temperature', '1']
const prompt = /> \x1b\[3G$/

describe('chat in a pipe', () => {
  it('answers each line, remembers the conversation, and ends with the input', async () => {
    const { code, stdout, stderr } = await runCli(
      ['chat', real, '--temperature', '0', '--max-tokens', '16'],
      {
        input: 'The magic word is banana.\nWhat is the magic word?\n/history\n',
      },
    )
    expect(code).toBe(0)
    expect(stdout.split('\n').length).toBeGreaterThan(2)
    expect(stdout).not.toContain('>')
    expect(stderr).toMatch(
      /^user: The magic word is banana\.\nassistant: .*^user: What is the magic word\?\nassistant: /ms,
    )
  })

  it('does what stands behind a slash', async () => {
    const { code, stdout, stderr } = await runCli(
      ['chat', tiny, '--system', 'One.', '--max-tokens', '2'],
      {
        input: '/system\n/system Two.\n/system\nhi\n/reset\n/history\n/slip\n/help\n/exit\nnever\n',
      },
    )
    expect(code).toBe(0)
    expect(stderr).toMatch(
      /^One\.\nA new conversation\.\nTwo\.\nForgotten\.\nsystem: Two\.\nThere is no command \/slip\./,
    )
    expect(stdout.trimEnd().split('\n').length).toBeLessThan(4)
  })

  it('takes a line that ends in a backslash together with the next', async () => {
    const { stderr } = await runCli(['chat', tiny, '--max-tokens', '1'], {
      input: 'one\\\ntwo\n/history\n',
    })
    expect(stderr).toContain('user: one\ntwo\n')
  })

  it('goes on after a failed turn and exits 1', async () => {
    const { code, stdout, stderr } = await runCli(
      ['chat', tiny, '--context', '256', '--max-tokens', '4'],
      {
        input: `${'x y '.repeat(500)}\nhi\n`,
      },
    )
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^sotto: .* \(ERR_PROMPT_TOO_LONG\) \/reset forgets the conversation\.\n$/,
    )
    expect(stdout).not.toBe('')
  })

  it('exits 130 at SIGINT, in an answer and before a line', async () => {
    const answering = startCli(['chat', tiny, ...forever])
    answering.type('hi\n')
    await answering.shows(/./s)
    answering.process.kill('SIGINT')
    expect((await answering.ended).code).toBe(130)

    const waiting = startCli(['chat', tiny, '--max-tokens', '1'])
    waiting.type('hi\n')
    await waiting.shows(/\n/)
    waiting.process.kill('SIGINT')
    expect((await waiting.ended).code).toBe(130)
  })

  it('refuses a model without a chat template', async () => {
    const { code, stderr } = await runCli(['chat', untemplated], { input: 'hi\n' })
    expect(code).toBe(1)
    expect(stderr).toMatch(/use sotto run \(ERR_TEMPLATE_MISSING\)\n$/)
  })
})

describe('chat on a terminal', () => {
  it('stops the answer at Ctrl-C, answers the next line, and ends at the second Ctrl-C at an empty prompt', async () => {
    const running = startOnTerminal(['chat', tiny, ...forever])
    await running.shows(prompt)
    running.type('hello\r')
    await running.shows(/hello\r\n[^]{40}/)
    let seen = running.stdout.length
    running.type('\x03')
    await running.shows(prompt, seen)
    seen = running.stdout.length
    running.type('again\r')
    await running.shows(/again\r\n[^]{40}/, seen)
    seen = running.stdout.length
    running.type('\x03')
    await running.shows(prompt, seen)
    seen = running.stdout.length
    running.type('\x03')
    await running.shows(/Ctrl-C again or Ctrl-D ends/, seen)
    running.type('\x03')
    expect((await running.ended).code).toBe(130)
  })

  it('clears a half-typed line at Ctrl-C, and ends with 0 at Ctrl-D and /exit', async () => {
    const running = startOnTerminal(['chat', tiny])
    await running.shows(prompt)
    let seen = running.stdout.length
    running.type('/ex')
    await running.shows(/\/ex/, seen)
    seen = running.stdout.length
    running.type('\x03')
    await running.shows(prompt, seen)
    expect(running.stdout.slice(seen)).not.toContain('Ctrl-C again')
    running.type('\x04')
    expect((await running.ended).code).toBe(0)

    const leaving = startOnTerminal(['chat', tiny])
    await leaving.shows(prompt)
    leaving.type('/exit\r')
    expect((await leaving.ended).code).toBe(0)
  })

  it('answers the lines of a paste one after the other', async () => {
    const running = startOnTerminal(['chat', tiny, '--max-tokens', '2'])
    await running.shows(prompt)
    running.type('one\rtwo\r/history\r')
    await running.shows(/user: one[^]*assistant: [^]*user: two[^]*assistant: /)
    running.type('\x04')
    expect((await running.ended).code).toBe(0)
  })

  it('does not take the echo of a signal that stopped an answer for the wish to leave', async () => {
    const running = startCli(['chat', tiny])
    running.process.stdin.end()
    await running.ended
    const onTerminal = startOnTerminal(['chat', tiny, ...forever])
    await onTerminal.shows(prompt)
    onTerminal.type('hello\r')
    await onTerminal.shows(/hello\r\n[^]{40}/)
    const seen = onTerminal.stdout.length
    onTerminal.type('\x03\x03') // in the terminal's ordinary mode: two signals
    await onTerminal.shows(prompt, seen)
    onTerminal.type('/exit\r')
    expect((await onTerminal.ended).code).toBe(0)
  })
})
