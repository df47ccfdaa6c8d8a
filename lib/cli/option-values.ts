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

/** `2GB`, `500 MB`, `1.5GiB`, or bytes. */
export function bytes(text: string): number {
  const [, number, prefix = '', binary] = /^([\d.]+)\s*([kMGT]?)(i?)B?$/i.exec(text.trim()) ?? []
  const value =
    Number(number) * (binary ? 1024 : 1000) ** ' kmgt'.indexOf(prefix.toLowerCase() || ' ')
  if (!Number.isFinite(value) || value < 1)
    throw new InvalidArgumentError('Expected a size such as 2GB.')
  return Math.floor(value)
}

export function threads(text: string): number | 'auto' {
  return text === 'auto' ? 'auto' : integer(text)
}

export function collect(text: string, list: string[] = []): string[] {
  return [...list, text]
}
