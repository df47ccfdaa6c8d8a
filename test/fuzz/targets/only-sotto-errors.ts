// What every target promises of bad input: a coded error and nothing else.

import { type errorCodes, SottoError } from '../../../lib/errors.js'

/** Runs `read`; a SottoError with a code that is allowed is no finding, everything else that is thrown is. */
export async function onlySottoErrors<T>(
  codes: (keyof typeof errorCodes)[],
  read: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof SottoError && codes.includes(error.code)) return undefined
    throw error
  }
}
