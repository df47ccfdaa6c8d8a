// The header of a saved conversation, on bytes alone: whatever they are, it is a header or ERR_STATE_INVALID.

import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { SottoError } from '../../../lib/errors.js'
import { ownerDigest } from '../../../lib/manager/state-folder.js'
import { headerBytes, parseStateHeader } from '../../../lib/manager/state-header.js'

function header(change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(headerBytes)
  bytes.write('sottoCTX')
  bytes.writeUInt32LE(1, 8)
  bytes.writeUInt32LE(100, 60)
  bytes.writeBigUInt64LE(5000n, 64)
  bytes.writeUInt32LE(20, 72)
  bytes.fill(1, 80, 112)
  bytes.fill(2, 112, 144)
  change(bytes)
  createHash('sha256').update(bytes.subarray(0, 144)).digest().copy(bytes, 144)
  return bytes
}

const refused = (bytes: Uint8Array) => {
  try {
    parseStateHeader(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(SottoError)
    return (error as SottoError).code
  }
  return 'accepted'
}

describe('parseStateHeader', () => {
  it('says what is in it, and how long the file must be', () => {
    expect(parseStateHeader(header())).toMatchObject({
      encrypted: false,
      messageBytes: 100,
      stateBytes: 5000,
      tokens: 20,
      fileBytes: headerBytes + 100 + 32 + 80 + 5000 + 32,
    })
    // Also where the bytes lie in a larger buffer.
    expect(parseStateHeader(Buffer.concat([Buffer.alloc(3), header()]).subarray(3)).tokens).toBe(20)
  })

  it.each<[what: string, change: (bytes: Buffer) => void]>([
    ['another magic', (bytes) => void bytes.write('GGUF')],
    ['version 0', (bytes) => void bytes.writeUInt32LE(0, 8)],
    ['a version from the future', (bytes) => void bytes.writeUInt32LE(2, 8)],
    ['flags that it does not know', (bytes) => void bytes.writeUInt32LE(2, 12)],
    ['2^32 − 1 bytes of messages', (bytes) => void bytes.writeUInt32LE(0xffffffff, 60)],
    ['2^64 − 1 bytes of state', (bytes) => void bytes.writeBigUInt64LE(2n ** 64n - 1n, 64)],
    ['2^63 bytes of state', (bytes) => void bytes.writeBigUInt64LE(2n ** 63n, 64)],
    ['2^32 − 1 tokens', (bytes) => void bytes.writeUInt32LE(0xffffffff, 72)],
    ['tokens without state', (bytes) => void bytes.writeBigUInt64LE(0n, 64)],
    ['state without tokens', (bytes) => void bytes.writeUInt32LE(0, 72)],
    ['something where nothing is', (bytes) => void bytes.writeUInt32LE(1, 76)],
  ])('%s is ERR_STATE_INVALID', (_, change) => {
    expect(refused(header(change))).toBe('ERR_STATE_INVALID')
  })

  it('so is every flipped bit, every cut, and noise', () => {
    const good = header()
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bytes = Buffer.from(good)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      expect(refused(bytes)).toBe('ERR_STATE_INVALID')
    }
    for (let length = 0; length < headerBytes; length++)
      expect(refused(good.subarray(0, length))).toBe('ERR_STATE_INVALID')
    for (let i = 0; i < 1000; i++)
      expect(refused(randomBytes(1 + (i % 300)))).toBe('ERR_STATE_INVALID')
  })
})

it('no two pairs of principal and id have the same owner', () => {
  const pairs = [
    ['a', 'bc'],
    ['ab', 'c'],
    ['', 'abc'],
    ['1 a', 'bc'],
    ['abc', ''],
  ]
  const owners = pairs.map(([principal, id]) =>
    ownerDigest(principal!, id!, undefined).toString('hex'),
  )
  expect(new Set(owners).size).toBe(pairs.length)
})
