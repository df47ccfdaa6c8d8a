import { describe, expect, inject, it } from 'vitest'
import { runCli, startCli, startOnTerminal } from './run-cli.js'

const { tiny, real, untemplated } = inject('models')
const long = 'Write a very long story about the sea.'
const prompt = /> \x1b\[3G$/

describe('chat in a pipe', () => {
  it('answers each line, remembers the conversation, and ends with the input', async () => {
    const { code, stdout } = await runCli(
      ['chat', real, '--temperature', '0', '--max-tokens', '16'],
      {
        input: 'The magic word is banana.\nWhat is the magic word?\n/history\n',
      },
    )
    expect(code).toBe(0)
    expect(stdout.split('\n').length).toBeGreaterThan(2)
    expect(stdout).not.toContain('>')
    expect(stdout).toMatch(
      /^user: The magic word is banana\.\nassistant: .*^user: What is the magic word\?\nassistant: /ms,
    )
  })

  it('says the same without speculation', async () => {
    const talk = ['chat', real, '--temperature', '0', '--max-tokens', '24', '--context', '512']
    const input = 'Say: one, two, three, one, two, three.\nSay it again.\n'
    const alone = await runCli([...talk, '--no-speculation'], { input })
    expect(alone).toMatchObject({ code: 0, stderr: '' })
    expect(await runCli(talk, { input })).toEqual(alone)
    expect(await runCli([...talk, '--draft', real], { input })).toEqual(alone)
  })

  it('does what stands behind a slash', async () => {
    const { code, stdout } = await runCli(['chat', tiny, '--system', 'One.', '--max-tokens', '1'], {
      input: '/system\n/system Two.\n/system\nhi\n/reset\n/history\n/slip\n/help\n/exit\nnever\n',
    })
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^One\.\nA new conversation\.\nTwo\.\n.*Forgotten\.\nsystem: Two\.\nThere is no command \/slip\.\n\/system/s,
    )
    expect(stdout).toMatch(/goes on in the next\.\n$/) // the end of the help: nothing came after /exit
  })

  it('takes a line that ends in a backslash together with the next', async () => {
    const { stdout } = await runCli(['chat', tiny, '--max-tokens', '1'], {
      input: 'one\\\ntwo\n/history\n',
    })
    expect(stdout).toContain('user: one\ntwo\n')
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
    const answering = startCli(['chat', real])
    answering.type(`${long}\n`)
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
    const running = startOnTerminal(['chat', real])
    await running.shows(prompt)
    running.type(`${long}\r`)
    await running.shows(/sea\.[\r\n]+.{40}/s)
    let seen = running.stdout.length
    running.type('\x03')
    await running.shows(prompt, seen)
    seen = running.stdout.length
    running.type(`${long}\r`)
    await running.shows(/sea\.[\r\n]+.{40}/s, seen)
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
    await running.shows(/user: one.*assistant: .*user: two.*assistant: .*> \x1b\[3G$/s)
    running.type('\x04')
    expect((await running.ended).code).toBe(0)
  })

  it('does not take the echo of a signal that stopped an answer for the wish to leave', async () => {
    const running = startOnTerminal(['chat', real])
    await running.shows(prompt)
    running.type(`${long}\r`)
    await running.shows(/sea\.[\r\n]+.{40}/s)
    const seen = running.stdout.length
    running.type('\x03\x03') // in the terminal's ordinary mode: two signals
    await running.shows(prompt, seen)
    running.type('/exit\r')
    expect((await running.ended).code).toBe(0)
  })
})
