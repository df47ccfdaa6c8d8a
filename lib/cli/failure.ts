// failure.ts: one line on stderr for every failure, and with --json an object on stdout.

import { CommanderError } from 'commander'
import { type ErrorCode, SottoError } from '../errors.js'
import { type ExitCode, exitCodeOf } from './exit-code.js'
import { printable } from './printable.js'

/** Says what went wrong and returns the exit code for it. */
export function reportFailure(error: unknown, argv: string[]): ExitCode {
  const known = error instanceof CommanderError ? usageError(error, argv[0]) : error
  const own = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv
  if (own.includes('--json') || own.includes('--ndjson')) {
    process.stdout.write(
      `${JSON.stringify({ error: { code: codeOf(known), message: messageOf(known) } })}\n`,
    )
  }
  process.stderr.write(`${failureLine(known)}\n`)
  if (process.env['SOTTO_DEBUG'] && known instanceof Error) process.stderr.write(`${known.stack}\n`)
  return exitCodeOf(known)
}

export function failureLine(error: unknown): string {
  return `sotto: ${printable(messageOf(error).replaceAll('\n', ' '))} (${codeOf(error)})`
}

function messageOf(error: unknown): string {
  return inTheWordsOfTheShell(error instanceof Error ? error.message : String(error))
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : 'ERR_INTERNAL'
}

const usageCodes: Record<string, ErrorCode> = {
  'commander.unknownOption': 'ERR_OPTION_UNKNOWN',
  'commander.unknownCommand': 'ERR_OPTION_UNKNOWN',
}

function usageError(error: CommanderError, command: string | undefined): SottoError {
  const message = error.message
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
    .replace(/\.$/, '')
  const help =
    command && /^[a-z]+$/.test(command) && error.code !== 'commander.unknownCommand'
      ? `sotto ${command} --help`
      : 'sotto --help'
  return new SottoError(usageCodes[error.code] ?? 'ERR_OPTION_INVALID', `${message}; see ${help}`, {
    cause: error,
  })
}

const flags: Record<string, string> = {
  contextSize: '--context',
  folder: '--out',
  grammar: '--grammar-file',
  maxBytes: '--max-size',
}

// The library speaks of options.maxTokens where the user wrote --max-tokens.
function inTheWordsOfTheShell(message: string): string {
  return message.replace(
    /\boptions\.([a-zA-Z0-9]+)/g,
    (_, name: string) =>
      flags[name] ?? `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  )
}
