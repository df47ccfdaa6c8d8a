import { expect, it } from 'vitest'
import { printable } from '../../lib/cli/printable.js'
import { size } from '../../lib/cli/size.js'

it.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1000, '1.0 kB'],
  [98362432, '98.4 MB'],
  [25.3e9, '25.3 GB'],
  [4e15, '4000.0 TB'],
])('%d bytes are %s', (bytes, text) => {
  expect(size(bytes)).toBe(text)
})

it('shows control characters and leaves text, tabs and line feeds alone', () => {
  expect(printable('a\x1b[31m\r\x7f\u0085\tb\nGrüße 🙂')).toBe('a␛[31m␍␡\ufffd\tb\nGrüße 🙂')
})
