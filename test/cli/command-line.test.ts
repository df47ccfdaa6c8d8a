import { readFileSync } from 'node:fs'
import { describe, expect, inject, it } from 'vitest'
import { RunningCli, runCli } from './run-cli.js'

describe('the command line', () => {
  it('prints help with all commands and exit codes to stdout and exits 0', async () => {
    const { code, stdout, stderr } = await runCli(['--help'])
    expect(code).toBe(0)
    expect(stderr).toBe('')
    for (const word of [
      'pull',
      'list',
      'remove',
      'run',
      'chat',
      'embed',
      'inspect',
      'split',
      'merge',
      'system',
      '130',
    ]) {
      expect(stdout).toContain(word)
    }
  })

  it('prints the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  it.each([
    'pull',
    'list',
    'remove',
    'run',
    'chat',
    'embed',
    'inspect',
    'split',
    'merge',
    'system',
  ])('explains %s', async (command) => {
    const { code, stdout } = await runCli([command, '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(`Usage: sotto ${command}`)
  })

  it('prints the help to stderr and exits 2 without a command', async () => {
    const { code, stdout, stderr } = await runCli([])
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain('Usage: sotto')
  })

  it.each([
    [
      ['run', 'm', '--tempratur', '1'],
      /unknown option '--tempratur' \(Did you mean --temperature\?\).* \(ERR_OPTION_UNKNOWN\)/,
    ],
    [['embed', 'm', '--no-speculation', 'hi'], /unknown option '--no-speculation'.*OPTION_UNKNOWN/],
    [['lst'], /unknown command 'lst' \(Did you mean list\?\).* \(ERR_OPTION_UNKNOWN\)/],
    [['run'], /missing required argument 'model'; see sotto run --help \(ERR_OPTION_INVALID\)/],
    [['inspect', 'a', 'b'], /too many arguments.* \(ERR_OPTION_INVALID\)/],
    [
      ['run', 'm', '--max-tokens', 'many', 'hi'],
      /'many' is invalid. Expected an integer.* \(ERR_OPTION_INVALID\)/,
    ],
    [
      ['run', 'm', '--temperature', 'hot', 'hi'],
      /'hot' is invalid. Expected a number.* \(ERR_OPTION_INVALID\)/,
    ],
    [
      ['run', 'm', '--grammar-file', 'a', '--json-schema', 'b', 'hi'],
      /cannot be used with.* \(ERR_OPTION_INVALID\)/,
    ],
    [['run', 'm', '--json', '--ndjson', 'hi'], /cannot be used with.* \(ERR_OPTION_INVALID\)/],
    [
      ['run', 'm', '--grammar-file', 'no-such-file', 'hi'],
      /Expected --grammar-file to be a readable file.* \(ERR_OPTION_INVALID\)/,
    ],
    [['list', '--log-level', 'loud'], /'loud' is invalid.* \(ERR_OPTION_INVALID\)/],
    [['pull', 'no-such-name'], /Expected a name of the catalogue.* \(ERR_SOURCE_INVALID\)/],
  ])('%j is a usage error: one line on stderr, exit code 2', async (args, line) => {
    const { code, stdout, stderr } = await runCli(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(line)
    expect(stderr).toMatch(/^sotto: [^\n]+\n$/)
    if (!args.includes('--json')) expect(stdout).toBe('')
  })

  it('says an option that the library refuses by the name that was typed', async () => {
    const { code, stderr } = await runCli(['run', 'package.json', '--context', '0', 'hi'])
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^sotto: Expected --context to be an integer from 1 to \d+, received 0 \(ERR_OPTION_INVALID\)\n$/,
    )
  })

  it('exits 1 for a failure that is not of the command line', async () => {
    const { code, stderr } = await runCli(['run', 'no-such-model', 'hi'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^sotto: [^\n]*no-such-model[^\n]* \(ERR_MODEL_NOT_FOUND\)\n$/)
  })

  it.each([
    [['inspect', '/dev/null', '--json'], 1, 'ERR_MODEL_UNREADABLE'],
    [['run', 'no-such-model', 'hi', '--ndjson'], 1, 'ERR_MODEL_NOT_FOUND'],
    [['embed', '--json'], 2, 'ERR_OPTION_INVALID'],
  ])('%j gives the failure as JSON on stdout as well', async (args, expected, errorCode) => {
    const { code, stdout, stderr } = await runCli(args)
    expect(code).toBe(expected)
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } }
    expect(error.code).toBe(errorCode)
    expect(stderr).toBe(`sotto: ${error.message} (${error.code})\n`)
  })

  it('exits 0, quietly, when the reader has enough', async () => {
    const script = `"${process.execPath}" dist/cli/main.js inspect --tensors "${inject('models').real}" | head -n 1; echo $\{PIPESTATUS[*]}`
    const { stdout, stderr } = await new RunningCli('bash', ['-c', script], {}).ended
    expect(stdout).toMatch(/\n0 0\n$/)
    expect(stderr).toBe('')
  })

  it('takes --json behind -- for a word', async () => {
    const { stdout } = await runCli(['run', 'no-such-model', '--', '--json'])
    expect(stdout).toBe('')
  })

  it('shows a stack trace when SOTTO_DEBUG is set, and only then', async () => {
    const { stderr } = await runCli(['inspect', 'no-such-model'], { env: { SOTTO_DEBUG: '1' } })
    expect(stderr).toMatch(/\n {4}at /)
  })
})
