// choices.ts: words of an enum into its numbers.

import { received, SottoError } from '../errors.js'

/** @internal */
export function choice<Word extends string>(
  what: string,
  word: Word,
  numbers: Readonly<Record<Word, number>>,
): number {
  if (typeof word === 'string' && Object.hasOwn(numbers, word)) return numbers[word]
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected ${what} to be ${Object.keys(numbers).join(' or ')}, received ${received(word)}`,
  )
}
