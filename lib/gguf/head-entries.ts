// head-entries.ts: the metadata of a file in the bytes that it was written in. Whoever copies metadata copies these: text that is not
// valid UTF-8 would not survive being decoded and encoded again.

import { type ValueType, valueBytes, valueTypes } from './format.js'
import type { GgufFile } from './reader.js'

export interface HeadEntry {
  key: string
  bytes: Uint8Array
}

/** Every entry of a head that the reader has accepted. Throws a RangeError where it is not that head any more. */
export function headEntries(
  head: Uint8Array,
  { version, byteOrder, metadata }: GgufFile,
): HeadEntry[] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const little = byteOrder === 'little'
  const lengthBytes = version === 1 ? 4 : 8
  let at = 8 + 2 * lengthBytes // magic, version, two counts
  const length = (): number => {
    const value = version === 1 ? view.getUint32(at, little) : view.getBigUint64(at, little)
    at += lengthBytes
    return Number(value)
  }
  const type = (): ValueType => {
    const found = valueTypes[view.getUint32(at, little)]
    at += 4
    if (!found) throw new RangeError('An unknown value type')
    return found
  }
  const skip = (kind: ValueType, count: number): void => {
    if (kind === 'string')
      for (let i = 0; i < count; i++) {
        const bytes = length() // moves `at` itself
        at += bytes
      }
    else if (kind !== 'array') at += count * valueBytes[kind]
  }
  return Array.from(metadata, () => {
    const start = at
    const keyBytes = length()
    const key = Buffer.from(head.subarray(at, at + keyBytes)).toString('utf8')
    at += keyBytes
    const kind = type()
    if (kind === 'array') skip(type(), length())
    else skip(kind, 1)
    if (at > head.length) throw new RangeError('An entry that does not end')
    return { key, bytes: head.subarray(start, at) }
  })
}
