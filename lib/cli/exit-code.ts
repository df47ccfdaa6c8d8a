// exit-code.ts: what the shell hears. Documented in `sotto --help`.

import { type ErrorCode, SottoError } from '../errors.js'

export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  interrupted: 130, // 128 + SIGINT, as a shell reports it
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

// What the user typed is wrong, whoever noticed it.
const usageErrors: ErrorCode[] = ['ERR_OPTION_INVALID', 'ERR_OPTION_UNKNOWN', 'ERR_SOURCE_INVALID']

export function exitCodeOf(error: unknown): ExitCode {
  const usage = error instanceof SottoError && usageErrors.includes(error.code)
  return usage ? exitCodes.usage : exitCodes.failure
}
