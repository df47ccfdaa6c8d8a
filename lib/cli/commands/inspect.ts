// inspect.ts: sotto inspect: what a model says of itself, all of its shards together. Needs no native code, and shows also what that
// would refuse.

import { SottoError } from '../../errors.js'
import { estimateMemory, type MemoryEstimate } from '../../gguf/estimate.js'
import { checkModelFile } from '../../gguf/gate.js'
import { isManifest } from '../../gguf/manifest.js'
import { GgufArray, type GgufFile, type GgufScalar, type GgufValue } from '../../gguf/reader.js'
import { checkModelFiles } from '../../gguf/shards.js'
import { resolveModel } from '../../models/store.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { summarizeLegacy } from '../legacy-summary.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { size } from '../size.js'

interface InspectFlags {
  json?: boolean
  tensors?: boolean
  context?: number
}

/** What `loadModel` would say to the file. */
type Verdict = { loads: true } | { loads: false; code: string; message: string }

export async function inspect(nameOrPath: string, flags: InspectFlags): Promise<ExitCode> {
  if (flags.context !== undefined && flags.context < 1) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected --context to be a positive integer, received ${flags.context}`,
    )
  }
  const path = await resolveModel(nameOrPath)
  const legacy = summarizeLegacy(path, flags.tensors)
  if (legacy) {
    if (flags.json) await writeJson(legacy.json)
    else for (const line of legacy.lines) await write(`${printable(line)}\n`)
    return exitCodes.ok
  }
  const { paths, file } = await look(path)
  const verdict = await judge(path, file)
  const memory = verdict.loads ? estimateMemory(file, { contextSize: flags.context }) : undefined
  if (flags.json) await writeJson(asJson(path, paths, file, verdict, memory))
  else
    for (const line of asText(path, paths, file, verdict, memory, flags.tensors))
      await write(`${printable(line)}\n`)
  return exitCodes.ok
}

// A shard without its siblings is shown alone; the verdict says what is missing.
async function look(path: string): Promise<{ paths: string[]; file: GgufFile }> {
  try {
    const { paths, whole } = await checkModelFiles(path, { adapter: true })
    return { paths, file: whole }
  } catch (error) {
    if (isManifest(path)) throw error
    return { paths: [path], file: await checkModelFile(path, { adapter: true }) }
  }
}

async function judge(path: string, file: GgufFile): Promise<Verdict> {
  if (file.metadata.get('general.type') === 'adapter') {
    return {
      loads: false,
      code: 'ERR_ADAPTER_INVALID',
      message: 'a LoRA adapter: load it beside its model, as one of adapters',
    }
  }
  try {
    await checkModelFiles(path)
    return { loads: true }
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    return { loads: false, code: error.code, message: error.message }
  }
}

function* asText(
  path: string,
  paths: string[],
  file: GgufFile,
  verdict: Verdict,
  memory: MemoryEstimate | undefined,
  tensors = false,
): Generator<string> {
  yield path
  yield `GGUF version ${file.version}, ${file.byteOrder} endian, ${size(file.fileBytes)}${paths.length > 1 ? ` in ${paths.length} shards` : ''}`
  yield ''
  for (const [key, value] of file.metadata) yield `${key} = ${shown(value)}`
  yield ''
  yield summary(file)
  if (tensors) {
    for (const { name, type, dimensions, bytes } of file.tensors)
      yield `  ${name}  ${type}  ${dimensions.join(' x ')}  ${size(bytes)}`
  }
  if (memory) {
    const { weights, kv, compute, total } = memory
    yield `Memory: ${size(total)} (weights ${size(weights)}, KV cache ${size(kv)}, compute about ${size(compute)})`
  }
  if (!verdict.loads) yield `Does not load: ${verdict.message} (${verdict.code})`
}

function summary({ tensors }: GgufFile): string {
  const byType = new Map<string, number>()
  for (const { type } of tensors) byType.set(type, (byType.get(type) ?? 0) + 1)
  return `${tensors.length} tensors: ${[...byType].map(([type, count]) => `${count} ${type}`).join(', ')}`
}

const longest = 200

function shown(value: GgufValue): string {
  if (value instanceof GgufArray) {
    const first: string[] = []
    for (const item of value) {
      if (first.push(shownScalar(item, 20)) === 4) break
    }
    return `${value.type}[${value.length}] ${first.join(' ')}${value.length > first.length ? ' …' : ''}`
  }
  return shownScalar(value, longest)
}

function shownScalar(value: GgufScalar, length: number): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : shownNumber(value)
  return text.length > length ? `${text.slice(0, length)}…` : text
}

// 0.00001 as a 32-bit float is 0.000009999999747378752: nobody wrote that.
function shownNumber(value: number | bigint | boolean): string {
  if (typeof value !== 'number' || Number.isInteger(value) || Math.fround(value) !== value)
    return String(value)
  return String(Number(value.toPrecision(7)))
}

function asJson(
  path: string,
  paths: string[],
  file: GgufFile,
  verdict: Verdict,
  memory: MemoryEstimate | undefined,
): object {
  const { metadata, types: _, ...rest } = file
  const values = Object.fromEntries([...metadata].map(([key, value]) => [key, jsonValue(value)]))
  return { path, paths, ...rest, metadata: values, memory, ...verdict }
}

// A vocabulary would be megabytes; 64-bit integers do not fit JSON's numbers.
function jsonValue(value: GgufValue): unknown {
  if (!(value instanceof GgufArray)) return jsonScalar(value)
  return value.length > 1000
    ? { type: value.type, length: value.length }
    : value.toArray().map(jsonScalar)
}

function jsonScalar(value: GgufScalar): string | number | boolean {
  return typeof value === 'bigint' ? String(value) : value
}
