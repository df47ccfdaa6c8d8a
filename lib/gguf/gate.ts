// gate.ts: the untrusted-model gate. What native code would abort, overflow or run away over is refused here, with a sentence.
// The asserts shielded are those of llama.cpp's llama-model.cpp and llama-vocab.cpp at the vendored version.

import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { SottoError } from '../errors.js'
import { describeForeign, describeLegacy } from './legacy.js'
import { GgufArray, type GgufFile, type GgufLimits, readGguf } from './reader.js'

export interface GateOptions {
  limits?: Partial<GgufLimits>
  /** The file is a LoRA adapter or a later shard: it has no vocabulary and no shape of its own. */
  adapter?: boolean
}

const longestTemplate = 2 ** 20
const mostLayers = 512 // LLAMA_MAX_LAYERS
const mostExperts = 1024
const mostVocabulary = 2 ** 22
const widest = 2 ** 20
const longestContext = 2 ** 28

/**
 * Looks at a model file before native code does, of several at one (`checkModelFiles` looks at all). Under 20 ms for a model of a
 * billion parameters.
 *
 * Errors: `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_UNREADABLE`, `ERR_MODEL_LEGACY` and those of `readGguf`.
 */
export async function checkModelFile(path: string, options: GateOptions = {}): Promise<GgufFile> {
  checkPath(path)
  checkMagic(path)
  const file = await readGguf(path, options.limits)
  if (!options.adapter) checkModel(file)
  return file
}

/** @internal What a head says, of a model that native code may open. */
export function checkModel(file: GgufFile): void {
  checkShape(file)
  checkTensorTypes(file)
  checkVocabulary(file)
  checkTemplates(file)
}

/** @internal A regular file, which opening does not block on. */
export function checkPath(path: string): void {
  if (path.includes('\0'))
    throw new SottoError('ERR_MODEL_NOT_FOUND', 'Expected a path without NUL characters')
  let stats: ReturnType<typeof statSync>
  try {
    stats = statSync(path)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
      throw new SottoError(
        'ERR_MODEL_NOT_FOUND',
        `Expected a model file, there is none at ${path}`,
        { cause },
      )
    }
    throw new SottoError(
      'ERR_MODEL_UNREADABLE',
      `Expected a readable model file: ${(cause as Error).message}`,
      { cause },
    )
  }
  if (stats.isDirectory()) {
    throw new SottoError(
      'ERR_MODEL_UNREADABLE',
      `Expected a model file, received a directory: ${path}. Name the .gguf file in it`,
    )
  }
  // Opening a FIFO or a device could block for ever.
  if (!stats.isFile())
    throw new SottoError(
      'ERR_MODEL_UNREADABLE',
      `Expected a regular file, received a FIFO, socket or device: ${path}`,
    )
}

/** @internal The first 64 bytes, fewer of a smaller file. */
export function readStart(path: string): Buffer {
  const start = Buffer.alloc(64)
  let length = 0
  try {
    const descriptor = openSync(path, 'r')
    try {
      length = readSync(descriptor, start, 0, start.length, 0)
    } finally {
      closeSync(descriptor)
    }
  } catch (cause) {
    throw new SottoError(
      'ERR_MODEL_UNREADABLE',
      `Expected a readable model file: ${(cause as Error).message}`,
      { cause },
    )
  }
  return start.subarray(0, length)
}

function checkMagic(path: string): void {
  const head = readStart(path)
  if (head.subarray(0, 4).toString('latin1') === 'GGUF') return
  const legacy = describeLegacy(head)
  if (legacy) {
    throw new SottoError(
      'ERR_MODEL_LEGACY',
      `Expected a GGUF model, received ${legacy}: get the model as GGUF, or make it one by "sotto convert"`,
    )
  }
  throw new SottoError(
    'ERR_MODEL_FORMAT',
    `Expected a GGUF model, received ${describeForeign(head)}`,
  )
}

function broken(what: string): SottoError {
  return new SottoError(
    'ERR_MODEL_FORMAT',
    `Expected a model that native code can load, found ${what}`,
  )
}

// A number, or an array with one number a layer.
function numbers(file: GgufFile, key: string): number[] | undefined {
  const value = file.metadata.get(key)
  if (value === undefined) return undefined
  const list = value instanceof GgufArray ? value.toArray() : [value]
  if (!list.every((item) => typeof item === 'number' && Number.isFinite(item)))
    throw broken(`${key} that is not a number`)
  return list as number[]
}

function checkRange(file: GgufFile, key: string, least: number, most: number): number | undefined {
  const values = numbers(file, key)
  if (!values) return undefined
  for (const value of values) {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw broken(`${key} ${value}, expected an integer from ${least} to ${most}`)
    }
  }
  return values[0]
}

function checkShape(file: GgufFile): void {
  // A first shard may have the metadata and nothing else, the others have tensors and nothing else.
  const shards = Number(file.metadata.get('split.count')) > 1
  const shard = Number(file.metadata.get('split.no'))
  if (shards && shard > 0) throw broken(`shard ${shard + 1} of a model: name the first one`)
  const architecture = file.metadata.get('general.architecture')
  if (typeof architecture !== 'string' || !/^[\w.-]{1,64}$/.test(architecture))
    throw broken('no general.architecture')
  if (file.tensors.length === 0 && !shards) throw broken('no tensors')
  const key = (name: string) => `${architecture}.${name}`
  if (checkRange(file, key('block_count'), 1, mostLayers) === undefined)
    throw broken(`no ${key('block_count')}`)
  const width = checkRange(file, key('embedding_length'), 1, widest)
  if (width === undefined) throw broken(`no ${key('embedding_length')}`)
  checkRange(file, key('context_length'), 1, longestContext)
  checkRange(file, key('feed_forward_length'), 0, 2 ** 24)
  // Layers without attention have no heads; a model without any is recurrent and has no such key.
  const heads = numbers(file, key('attention.head_count'))
  if (
    heads &&
    (heads.length === 0 ||
      Math.max(...heads) < 1 ||
      Math.min(...heads) < 0 ||
      Math.max(...heads) > 65536)
  ) {
    throw broken(`${key('attention.head_count')} ${heads.slice(0, 4)}`)
  }
  if (
    heads &&
    heads.length === 1 &&
    !file.metadata.has(key('attention.key_length')) &&
    width % heads[0]! !== 0
  ) {
    throw broken(`an embedding length of ${width} that ${heads[0]} heads cannot divide`)
  }
  const kvHeads = numbers(file, key('attention.head_count_kv'))
  if (heads && kvHeads) {
    for (const kv of kvHeads) {
      if (
        !Number.isInteger(kv) ||
        kv < 0 ||
        kv > Math.max(...heads) ||
        (kv > 0 && heads.length === 1 && heads[0]! % kv !== 0)
      ) {
        throw broken(`${key('attention.head_count_kv')} ${kv} beside ${heads[0]} heads`)
      }
    }
  }
  checkExperts(file, key)
  checkRange(file, key('pooling_type'), -1, 4)
  const scaling = file.metadata.get(key('rope.scaling.type'))
  if (
    scaling !== undefined &&
    !['none', 'linear', 'yarn', 'longrope'].includes(scaling as string)
  ) {
    throw broken(`${key('rope.scaling.type')} ${JSON.stringify(String(scaling).slice(0, 40))}`)
  }
  for (const epsilon of ['layer_norm_epsilon', 'layer_norm_rms_epsilon', 'group_norm_epsilon']) {
    for (const value of numbers(file, key(`attention.${epsilon}`)) ?? [])
      if (value < 0 || value > 1) throw broken(`${key(`attention.${epsilon}`)} ${value}`)
  }
  checkRange(file, key('rope.dimension_count'), 0, widest)
  checkRange(file, key('nextn_predict_layers'), 0, mostLayers)
}

// What upstream's operations on the CPU take; of another type they end the process when the first token is computed.
function checkTensorTypes({ tensors }: GgufFile): void {
  for (const { name, type, dimensions } of tensors) {
    if (!/\.(?:weight|bias)$/.test(name)) continue
    const row = dimensions.length === 1 || dimensions.slice(1).every((n) => n === 1)
    if ((row && type !== 'F32') || /^(?:I\d+|F64)$/.test(type))
      throw broken(`${name} as ${type}${row ? ', expected F32' : ''}`)
  }
}

function checkExperts(file: GgufFile, key: (name: string) => string): void {
  const experts = checkRange(file, key('expert_count'), 0, mostExperts) ?? 0
  const used = Math.max(0, ...(numbers(file, key('expert_used_count')) ?? [0]))
  const groups = checkRange(file, key('expert_group_count'), 0, mostExperts) ?? 0
  if (used > experts || (experts > 0 && used < 1))
    throw broken(`${used} of ${experts} experts in use`)
  if (
    groups > 0 &&
    (experts === 0 || groups >= experts || (groups > 1 && experts % groups !== 0))
  ) {
    throw broken(`${groups} groups of ${experts} experts`)
  }
}

function checkVocabulary(file: GgufFile): void {
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
  checkTokens(tokens, model === 'bert', byteTokens(file))
}

/** Which tokens stand for a byte: nobody's without types. */
function byteTokens(file: GgufFile): (token: number) => boolean {
  const types = file.metadata.get('tokenizer.ggml.token_type')
  if (!(types instanceof GgufArray) || (types.type !== 'int32' && types.type !== 'uint32'))
    return () => false
  const { bytes, littleEndian } = types
  const [first, last] = littleEndian ? [6, 0] : [0, 6]
  return (token) =>
    bytes[token * 4] === first &&
    bytes[token * 4 + 3] === last &&
    bytes[token * 4 + 1] === 0 &&
    bytes[token * 4 + 2] === 0
}

// Upstream aborts when two tokens have the same text, and reads past the end of a malformed byte token. An open hash table over
// the bytes themselves: a Set of a hundred thousand strings alone would take the time this gate has.
function checkTokens(
  tokens: GgufArray,
  wordPiece: boolean,
  isByte: (token: number) => boolean,
): void {
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
    if (isByte(i)) {
      if (wordPiece) throw broken('byte tokens in a WordPiece vocabulary')
      if (!/^<0x[0-9A-Fa-f]{2}>$/.test(Buffer.from(bytes.subarray(at, end)).toString('latin1')))
        throw broken(`the byte token ${i} that is not of the form <0xNN>`)
    }
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

function checkTemplates(file: GgufFile): void {
  for (const [key, value] of file.metadata) {
    if (!key.startsWith('tokenizer.chat_template') || typeof value !== 'string') continue
    if (value.length > longestTemplate) {
      throw new SottoError(
        'ERR_MODEL_LIMIT',
        `Expected a chat template of at most ${longestTemplate} characters, received ${value.length}`,
      )
    }
  }
}
