// state-header.ts: the head of a conversation in a file. Needs nothing but its bytes, and believes none of them.
//
//   0  "sottoCTX"          8  version      12  flags: 1 encrypted
//  16  salt, 32 bytes     48  nonce, 12 bytes
//  60  bytes of messages  64  bytes of state, 64 bits      72  tokens      76  zero
//  80  owner: principal and id, hashed                    112  model: what the state belongs to, hashed
// 144  SHA-256 of the 144 bytes before
// 176  messages, as JSON; their tag, 32 bytes; tokens, 32 bits each, and state; their tag. Little-endian.

import { createHash, randomBytes } from 'node:crypto'
import { SottoError } from '../errors.js'

const magic = Buffer.from('sottoCTX')
const version = 1
const encryptedFlag = 1
const checkedBytes = 144
/** Bytes of the header. */
export const headerBytes = checkedBytes + 32
/** Bytes of a tag behind a part. */
export const tagBytes = 32 // of which GCM fills half
const mostMessages = 2 ** 28
const mostTokens = 2 ** 26
const mostState = 2 ** 40

export interface StateHeader {
  encrypted: boolean
  salt: Uint8Array
  nonce: Uint8Array
  /** Bytes of the messages' JSON. */
  messageBytes: number
  /** Bytes of keys and values. */
  stateBytes: number
  tokens: number
  /** 32 bytes. */
  owner: Uint8Array
  /** 32 bytes. */
  model: Uint8Array
  /** Bytes that the whole file has. */
  fileBytes: number
}

export function broken(what: string): SottoError {
  return new SottoError('ERR_STATE_INVALID', `Expected a saved conversation, received ${what}`)
}

/**
 * Reads the header of a saved conversation. Needs nothing but its bytes, and believes none of them.
 *
 * Errors: `ERR_STATE_INVALID`.
 */
export function parseStateHeader(bytes: Uint8Array): StateHeader {
  if (bytes.length < headerBytes) throw broken(`${bytes.length} bytes where a header has 176`)
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, headerBytes)
  if (!header.subarray(0, 8).equals(magic)) throw broken('another kind of file')
  const its = header.readUInt32LE(8)
  if (its !== version) throw broken(`version ${its}: this one reads version ${version}`)
  if (
    !createHash('sha256')
      .update(header.subarray(0, checkedBytes))
      .digest()
      .equals(header.subarray(checkedBytes))
  )
    throw broken('a header that is not what was written')
  const flags = header.readUInt32LE(12)
  const messageBytes = header.readUInt32LE(60)
  const stateBytes = header.readBigUInt64LE(64)
  const tokens = header.readUInt32LE(72)
  if (
    flags > encryptedFlag ||
    header.readUInt32LE(76) !== 0 ||
    messageBytes > mostMessages ||
    stateBytes > mostState ||
    tokens > mostTokens ||
    (stateBytes === 0n) !== (tokens === 0)
  )
    throw broken(`${messageBytes} bytes of messages, ${stateBytes} of state and ${tokens} tokens`)
  return {
    encrypted: flags === encryptedFlag,
    salt: header.subarray(16, 48),
    nonce: header.subarray(48, 60),
    messageBytes,
    stateBytes: Number(stateBytes),
    tokens,
    owner: header.subarray(80, 112),
    model: header.subarray(112, 144),
    fileBytes: headerBytes + messageBytes + tagBytes + 4 * tokens + Number(stateBytes) + tagBytes,
  }
}

/** The header of a new file; salt and nonce are chosen here. */
export function writeStateHeader({
  encrypted,
  messageBytes,
  stateBytes,
  tokens,
  owner,
  model,
}: Omit<StateHeader, 'salt' | 'nonce' | 'fileBytes'>): Buffer {
  const header = Buffer.alloc(headerBytes)
  magic.copy(header)
  header.writeUInt32LE(version, 8)
  header.writeUInt32LE(encrypted ? encryptedFlag : 0, 12)
  randomBytes(44).copy(header, 16)
  header.writeUInt32LE(messageBytes, 60)
  header.writeBigUInt64LE(BigInt(stateBytes), 64)
  header.writeUInt32LE(tokens, 72)
  header.set(owner, 80)
  header.set(model, 112)
  createHash('sha256').update(header.subarray(0, checkedBytes)).digest().copy(header, checkedBytes)
  return header
}
