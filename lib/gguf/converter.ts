// converter.ts: a LLaMA model in a format before GGUF into a GGUF file, where the weights lie as GGUF has them. Nothing is computed anew.

import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { received, SottoError } from '../errors.js'
import { abortSignal, callback, checkOptions, integer, number, text } from '../options.js'
import { type CopyOptions, copyTensors } from './copy.js'
import { checkModelFile } from './gate.js'
import type { GgufEntry, TensorShape } from './head-writer.js'
import { type LegacyModel, type LegacyTensor, readLegacy } from './legacy-reader.js'
import { legacyTokenizer } from './legacy-tokenizer.js'

export interface ConvertOptions extends CopyOptions {
  /** Tokens that the model was trained for, which the old header does not say. Default 2048, right for the first LLaMA; 4096 for the second. */
  contextLength?: number
  /** Of the norms. Default 5e-6, between that of the first LLaMA, 1e-6, and that of the second, 1e-5. */
  rmsEpsilon?: number
  /** Base of the rotary positions. Default 10000. */
  ropeBase?: number
  /** Heads of keys and values. Default: what the shape of `attention.wk` says. */
  kvHeads?: number
  /** Default: the file's, without its ending. */
  name?: string
}

export interface ConvertResult {
  path: string
  bytes: number
}

/**
 * Writes a LLaMA-family model in one of llama.cpp's formats before GGUF (`ggml`, `ggmf`, `ggjt`) as GGUF, byte by byte, with some megabytes
 * of memory. Weights in F32 and F16 always; in Q5_0 and Q5_1 from ggjt version 2 on; in Q4_0, Q4_1, Q8_0 and K-quants in version 3: before, their
 * blocks were others, and what is to be done then the error says. Nothing is overwritten, and nothing is left when it fails.
 *
 * Errors: `ERR_MODEL_LEGACY` (older blocks, one of several parts, no LLaMA), those of `readLegacy`, `ERR_OPTION_INVALID` (also: there is a file
 * `output`), `ERR_OPTION_UNKNOWN`, `ERR_DISK`, `ERR_ABORTED`.
 *
 * @example
 * ```ts
 * import { convertLegacy } from 'sotto/gguf'
 * const { bytes } = await convertLegacy('old.bin', 'new.gguf', { contextLength: 4096, rmsEpsilon: 1e-5 })
 * console.log(bytes)
 * ```
 */
export async function convertLegacy(
  input: string,
  output: string,
  given?: ConvertOptions,
): Promise<ConvertResult> {
  const options = checkOptions<ConvertOptions>('options', given, {
    contextLength: integer(1, 2 ** 28),
    rmsEpsilon: number(0, 1),
    ropeBase: number(1, 1e12),
    kvHeads: integer(1, 65536),
    name: text(),
    onProgress: callback(),
    signal: abortSignal(),
  })
  for (const [name, path] of Object.entries({ input, output }))
    if (typeof path !== 'string' || path === '')
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected ${name} to be a path, received ${received(path)}`,
      )
  const model = readLegacy(input)
  const { entries, tensors } = planConversion(model, {
    name: basename(input).replace(/\.\w+$/, ''),
    ...options,
  })
  if (existsSync(output))
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected no file ${output}, there is one: remove it`,
    )
  const source = {
    version: 3,
    byteOrder: 'little' as const,
    alignment: 32,
    metadata: new Map(),
    types: new Map(),
    tensors,
    dataOffset: 0,
    fileBytes: model.fileBytes,
  }
  const { bytes } = await copyTensors(
    { paths: [input], files: [source], whole: source },
    [{ path: output, entries, tensors }],
    options,
  )
  try {
    await checkModelFile(output, { duplicateTokens: true })
  } catch (cause) {
    await rm(output, { force: true })
    throw new SottoError(
      'ERR_MODEL_LEGACY',
      `What the file says makes no model: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
  return { path: output, bytes }
}

type Facts = Pick<ConvertOptions, 'contextLength' | 'rmsEpsilon' | 'ropeBase' | 'kvHeads' | 'name'>

/** @internal What the new file is to say, and which tensors it has, by where they lie in the old one. */
export function planConversion(
  model: LegacyModel,
  facts: Facts,
): { entries: (GgufEntry | Uint8Array)[]; tensors: (TensorShape & PlacedTensor)[] } {
  const tensors = model.tensors
    // Frequencies, where GGUF has factors of them; they follow from the base.
    .filter(({ name }) => name !== 'rope.freqs')
    .map((tensor) => {
      checkBlocks(model, tensor)
      return { ...tensor, name: newName(tensor.name), shard: 0 }
    })
  const { kvHeads, feedForward } = checkShapes(model, tensors, facts.kvHeads)
  return {
    entries: [...metadata(model, facts, kvHeads, feedForward), ...legacyTokenizer(model)],
    tensors,
  }
}

interface PlacedTensor extends LegacyTensor {
  shard: number
}

function legacy(what: string): SottoError {
  return new SottoError('ERR_MODEL_LEGACY', what)
}

/** @internal `ggjt version 2`. */
export function formatName({ format, version }: LegacyModel): string {
  return format === 'ggml' ? 'ggml, which had no versions' : `${format} version ${version}`
}

/** From which version of ggjt on the blocks of a type are those of GGUF; the others are in all formats, or in none. */
const sinceVersion: Record<string, number> = {
  ...{ F32: 0, F16: 0 },
  ...{ Q5_0: 2, Q5_1: 2 },
  ...{ Q4_0: 3, Q4_1: 3, Q8_0: 3, Q2_K: 3, Q3_K: 3, Q4_K: 3, Q5_K: 3, Q6_K: 3 },
}

function checkBlocks(model: LegacyModel, { name, type }: LegacyTensor): void {
  const since = sinceVersion[type] ?? Number.POSITIVE_INFINITY
  const version = model.format === 'ggjt' ? model.version : 0
  if (version >= since) return
  throw legacy(
    `Expected weights that lie as GGUF has them, ${received(name)} is ${type} of ${formatName(model)}, ` +
      `${Number.isFinite(since) ? `whose blocks changed with ggjt version ${since}` : 'which was given up'}: ` +
      'get the model as GGUF, or convert its F16 or F32 file and run "sotto quantize"',
  )
}

const names: Record<string, string> = {
  'tok_embeddings.weight': 'token_embd.weight',
  'norm.weight': 'output_norm.weight',
  'output.weight': 'output.weight',
}
const layerNames: Record<string, string> = {
  'attention_norm.weight': 'attn_norm.weight',
  'attention.wq.weight': 'attn_q.weight',
  'attention.wk.weight': 'attn_k.weight',
  'attention.wv.weight': 'attn_v.weight',
  'attention.wo.weight': 'attn_output.weight',
  'ffn_norm.weight': 'ffn_norm.weight',
  'feed_forward.w1.weight': 'ffn_gate.weight',
  'feed_forward.w2.weight': 'ffn_down.weight',
  'feed_forward.w3.weight': 'ffn_up.weight',
}

function newName(old: string): string {
  const [, layer, rest] = /^layers\.(\d{1,3})\.(.+)$/.exec(old) ?? []
  const known = rest === undefined ? names : layerNames
  const key = rest ?? old
  if (Object.hasOwn(known, key))
    return rest === undefined ? known[key]! : `blk.${Number(layer)}.${known[key]}`
  throw legacy(
    `Expected a LLaMA model, received one with a tensor ${received(old)}: of other families get the model as GGUF`,
  )
}

// All there, each in its shape. What is narrower is one of the parts that large models once came in.
function checkShapes(
  { hyperparameters }: LegacyModel,
  tensors: TensorShape[],
  givenKvHeads: number | undefined,
): { kvHeads: number; feedForward: number } {
  const { vocabulary, embedding, heads, layers } = hyperparameters
  const shapes = new Map(tensors.map(({ name, dimensions }) => [name, dimensions]))
  const shapeOf = (name: string): number[] => {
    const shape = shapes.get(name)
    if (!shape) throw legacy(`Expected a whole model, there is no tensor ${name} (in its new name)`)
    return shape
  }
  const headSize = embedding / heads
  const [, feedForward = 0] = shapeOf('blk.0.ffn_gate.weight')
  const [, keys = 0] = shapeOf('blk.0.attn_k.weight')
  const kvHeads = givenKvHeads ?? keys / headSize
  if (
    !Number.isInteger(kvHeads) ||
    kvHeads < 1 ||
    heads % kvHeads !== 0 ||
    kvHeads * headSize !== keys
  ) {
    throw legacy(
      `Expected ${kvHeads} heads of keys of ${headSize} each, found ${keys} rows: is the file one of several parts, or options.kvHeads wrong?`,
    )
  }
  const expected = new Map([
    ['token_embd.weight', [embedding, vocabulary]],
    ['output_norm.weight', [embedding]],
    ['output.weight', [embedding, vocabulary]],
  ])
  for (let layer = 0; layer < layers; layer++) {
    const add = (name: string, ...shape: number[]) =>
      expected.set(`blk.${layer}.${name}.weight`, shape)
    add('attn_norm', embedding)
    add('ffn_norm', embedding)
    add('attn_q', embedding, embedding)
    add('attn_k', embedding, keys)
    add('attn_v', embedding, keys)
    add('attn_output', embedding, embedding)
    add('ffn_gate', embedding, feedForward)
    add('ffn_up', embedding, feedForward)
    add('ffn_down', feedForward, embedding)
  }
  for (const [name, shape] of expected) {
    const found = shapeOf(name)
    if (found.join() === shape.join()) continue
    throw legacy(
      `Expected ${name} to be ${shape.join(' x ')}, found ${found.join(' x ')}: is the file one of several parts? Get the model as GGUF`,
    )
  }
  const other = tensors.find(({ name }) => !expected.has(name))
  if (other)
    throw legacy(`Expected ${layers} layers, found the tensor ${other.name} (in its new name)`)
  return { kvHeads, feedForward }
}

// Numbers of the file types are GGUF's own, but for one that it gave up.
const fileTypeIds: Record<string, number> = {
  ...{ F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, 'Q4_1, some F16': 3, Q8_0: 7, Q5_0: 8, Q5_1: 9 },
  ...{ Q2_K: 10, Q3_K_S: 11, Q3_K_M: 12, Q3_K_L: 13, Q4_K_S: 14, Q4_K_M: 15 },
  ...{ Q5_K_S: 16, Q5_K_M: 17, Q6_K: 18 },
}

function metadata(
  model: LegacyModel,
  { contextLength = 2048, rmsEpsilon = 5e-6, ropeBase, name = '' }: Facts,
  kvHeads: number,
  feedForward: number,
): GgufEntry[] {
  const { embedding, heads, layers, vocabulary } = model.hyperparameters
  const count = (key: string, value: number) => ({ key, type: 'uint32' as const, value })
  const real = (key: string, value: number) => ({ key, type: 'float32' as const, value })
  const string = (key: string, value: string) => ({ key, type: 'string' as const, value })
  return [
    string('general.architecture', 'llama'),
    string('general.name', name),
    string('general.description', `converted from ${formatName(model)}`),
    count('general.file_type', fileTypeIds[model.fileType] ?? 0),
    count('general.quantization_version', 2),
    count('llama.vocab_size', vocabulary),
    count('llama.context_length', contextLength),
    count('llama.embedding_length', embedding),
    count('llama.block_count', layers),
    count('llama.feed_forward_length', feedForward),
    count('llama.rope.dimension_count', embedding / heads),
    count('llama.attention.head_count', heads),
    count('llama.attention.head_count_kv', kvHeads),
    real('llama.attention.layer_norm_rms_epsilon', rmsEpsilon),
    ...(ropeBase === undefined ? [] : [real('llama.rope.freq_base', ropeBase)]),
  ]
}
