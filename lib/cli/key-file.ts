// key-file.ts: a key that an option names.

import { readFileSync } from 'node:fs'
import { SottoError } from '../errors.js'

export function readKeyFile(flag: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected ${flag} to be a file with a key: ${(cause as Error).message}`,
      { cause },
    )
  }
}
