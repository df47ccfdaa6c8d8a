// gate.ts: the untrusted-model gate. What native code would abort, overflow or run away over is refused here, with a sentence.
// The asserts shielded are those of llama.cpp's llama-model.cpp and llama-vocab.cpp at the vendored version.

import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { SottoError } from '../errors.js'
import { broken } from './broken.js'
import { describeForeign, describeLegacy } from './legacy.js'
import { GgufArray, type GgufFile, type GgufLimits, readGguf } from './reader.js'
import { checkVocabulary } from './vocabulary.js'

export interface GateOptions {
  limits?: Partial<GgufLimits>
  /** The file is a LoRA adapter or a later shard: it has no vocabulary and no shape of its own. */
  adapter?: boolean
  /**
   * Look for tokens with the same text, half of the time that this gate takes. Upstream finds them too and fails the load, except on Windows, where
   * it ends the process. Default: on Windows.
   */
  duplicateTokens?: boolean
}

const longestTemplate = 2 ** 20
const mostLayers = 512 // LLAMA_MAX_LAYERS
const mostExperts = 1024
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
  if (!options.adapter) checkModel(file, options)
  return file
}

/** @internal What a head says, of a model that native code may open. */
export function checkModel(file: GgufFile, options: GateOptions = {}): void {
  checkShape(file)
  checkTensorTypes(file)
  checkVocabulary(file, options.duplicateTokens ?? process.platform === 'win32')
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
