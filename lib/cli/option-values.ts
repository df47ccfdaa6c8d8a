// option-values.ts: from the text of an argument to a value. Ranges are the library's to check.

import { InvalidArgumentError } from 'commander'

export function integer(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value))
    throw new InvalidArgumentError('Expected an integer.')
  return value
}

export function decimal(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value))
    throw new InvalidArgumentError('Expected a number.')
  return value
}

export function threads(text: string): number | 'auto' {
  return text === 'auto' ? 'auto' : integer(text)
}

export function collect(text: string, list: string[] = []): string[] {
  return [...list, text]
}
