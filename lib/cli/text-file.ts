// text-file.ts: a text that an argument names: a file, or stdin as "-".

import { readFile } from 'node:fs/promises'
import { SottoError } from '../errors.js'
import { readStdin } from './input.js'

export async function readTextFile(path: string, signal: AbortSignal): Promise<string> {
  if (path === '-') return readStdin('a text', signal)
  try {
    return await readFile(path, { encoding: 'utf8', signal })
  } catch (cause) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected a readable text file: ${(cause as Error).message}`,
      { cause },
    )
  }
}
