// vocabulary.ts: what native code must not see of a tokenizer: numbers that name no token, malformed byte tokens, tokens that are there twice.

import { SottoError } from '../errors.js'
import { broken } from './broken.js'
import { GgufArray, type GgufFile } from './reader.js'

const mostVocabulary = 2 ** 22

/** `duplicates`: whether to look for tokens with the same text. */
export function checkVocabulary(file: GgufFile, duplicates: boolean): void {
  const model = file.metadata.get('tokenizer.ggml.model')
  const tokens = file.metadata.get('tokenizer.ggml.tokens')
  if (model === undefined && tokens === undefined) throw broken('no tokenizer')
  if (model === 'none' || model === 'no_vocab') return
  if (!(tokens instanceof GgufArray) || tokens.type !== 'string' || tokens.length === 0)
    throw broken('an empty vocabulary')
  if (tokens.length > mostVocabulary) {
    throw new SottoError(
      'ERR_MODEL_LIMIT',
      `Expected a vocabulary of at most ${mostVocabulary} tokens, received ${tokens.length}`,
    )
  }
  for (const name of ['scores', 'token_type']) {
    const list = file.metadata.get(`tokenizer.ggml.${name}`)
    if (list !== undefined && (!(list instanceof GgufArray) || list.length !== tokens.length)) {
      throw broken(`tokenizer.ggml.${name} of another length than the vocabulary`)
    }
  }
  for (const [key, value] of file.metadata) {
    if (!/^tokenizer\.ggml\.\w+_token_id$/.test(key)) continue
    // 0xffffffff stands for "none".
    if (
      typeof value !== 'number' ||
      ((value < 0 || value >= tokens.length) && value !== 0xffffffff && value !== -1)
    ) {
      throw broken(`${key} ${String(value)} in a vocabulary of ${tokens.length}`)
    }
  }
  const isByte = byteTokens(file)
  if (isByte) checkByteTokens(tokens, model === 'bert', isByte)
  if (duplicates) checkDuplicates(tokens)
}

/** Which tokens stand for a byte; undefined where none does. */
function byteTokens(file: GgufFile): ((token: number) => boolean) | undefined {
  const types = file.metadata.get('tokenizer.ggml.token_type')
  if (!(types instanceof GgufArray) || (types.type !== 'int32' && types.type !== 'uint32'))
    return undefined
  const { bytes, littleEndian } = types
  const [first, last] = littleEndian ? [6, 0] : [0, 6]
  const isByte = (token: number) =>
    bytes[token * 4] === first &&
    bytes[token * 4 + 3] === last &&
    bytes[token * 4 + 1] === 0 &&
    bytes[token * 4 + 2] === 0
  for (let token = 0; token < types.length; token++) if (isByte(token)) return isByte
  return undefined
}

// Upstream reads past the end of a malformed one.
function checkByteTokens(
  { bytes, length, littleEndian, lengthBytes }: GgufArray,
  wordPiece: boolean,
  isByte: (token: number) => boolean,
): void {
  if (wordPiece) throw broken('byte tokens in a WordPiece vocabulary')
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0, at = 0; i < length; i++) {
    const size = view.getUint32(lengthBytes === 8 && !littleEndian ? at + 4 : at, littleEndian)
    at += lengthBytes + size
    if (isByte(i) && !/^<0x[0-9A-Fa-f]{2}>$/.test(text.toString('latin1', at - size, at)))
      throw broken(`the byte token ${i} that is not of the form <0xNN>`)
  }
}

// An open hash table over the bytes themselves: a Set of a hundred thousand strings alone would take the time the gate has.
function checkDuplicates(tokens: GgufArray): void {
  const { bytes, length, littleEndian, lengthBytes } = tokens
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const slots = 2 ** Math.ceil(Math.log2(length * 2 + 1))
  const table = new Int32Array(slots) // a token's number, and one; 0 where there is none
  const starts = new Uint32Array(length)
  const hashes = new Int32Array(length)
  let at = 0
  let steps = 0
  const mostSteps = 8 * length
  for (let i = 0; i < length; i++) {
    const size = view.getUint32(lengthBytes === 8 && !littleEndian ? at + 4 : at, littleEndian)
    at += lengthBytes
    starts[i] = at
    const end = at + size
    at = end
    // Upstream gives empty tokens a name of their own.
    if (size === 0 || steps > mostSteps) continue
    const hash = hashOf(bytes, starts[i]!, end)
    hashes[i] = hash
    let slot = hash & (slots - 1)
    for (let other = table[slot]! - 1; other >= 0; other = table[slot]! - 1) {
      // With their lengths, which stand before them.
      const begin = starts[i]! - lengthBytes
      if (hashes[other] === hash && equal(bytes, starts[other]! - lengthBytes, begin, end - begin))
        throw broken(`the tokens ${other} and ${i} with the same text`)
      slot = (slot + 1) & (slots - 1)
      steps++
    }
    table[slot] = i + 1
  }
  if (steps > mostSteps) checkCollidingTokens(tokens)
}

// FNV-1a of words. Small, so that the compiler is done with it early: a gate runs once a process.
function hashOf(bytes: Uint8Array, begin: number, end: number): number {
  let hash = 0x811c9dc5
  let at = begin
  for (; at + 4 <= end; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    hash = Math.imul(hash ^ word, 0x01000193)
  }
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash ^ (hash >>> 15) // a product's low bits know nothing of a word's high ones
}

// Somebody has written a vocabulary whose hashes meet: V8's are seeded.
function checkCollidingTokens({ bytes, length, littleEndian, lengthBytes }: GgufArray): void {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const seen = new Set<string>()
  for (let i = 0, at = 0; i < length; i++) {
    const size = view.getUint32(lengthBytes === 8 && !littleEndian ? at + 4 : at, littleEndian)
    const token = text.toString('latin1', at + lengthBytes, at + lengthBytes + size)
    if (size > 0 && seen.has(token)) throw broken(`the token ${i} with the text of another`)
    seen.add(token)
    at += lengthBytes + size
  }
}

function equal(bytes: Uint8Array, a: number, b: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (bytes[a + i] !== bytes[b + i]) return false
  return true
}
