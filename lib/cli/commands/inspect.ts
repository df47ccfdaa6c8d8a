// inspect.ts: sotto inspect: what a model file says of itself. Needs no native code.

import { existsSync } from 'node:fs'
import { estimateMemory } from '../../gguf/estimate.js'
import { checkModelFile } from '../../gguf/gate.js'
import { GgufArray, type GgufFile, type GgufValue } from '../../gguf/reader.js'
import { resolveModel } from '../../models/store.js'
import type { ExitCode } from '../main.js'
import { megabytes } from '../progress.js'

interface InspectFlags {
  json?: boolean
  tensors?: boolean
  context?: number
}

export async function inspect(nameOrPath: string, flags: InspectFlags): Promise<ExitCode> {
  const path = existsSync(nameOrPath) ? nameOrPath : await resolveModel(nameOrPath)
  const file = await checkModelFile(path)
  const memory = estimateMemory(file, flags.context ? { contextSize: flags.context } : {})
  if (flags.json) {
    const { metadata, types: _, tensors, ...rest } = file
    const shown = Object.fromEntries([...metadata].map(([key, value]) => [key, jsonValue(value)]))
    process.stdout.write(`${JSON.stringify({ path, ...rest, metadata: shown, tensors, memory })}\n`)
    return 0
  }
  process.stdout.write(`${path}\nGGUF version ${file.version}, ${file.byteOrder} endian, ${megabytes(file.fileBytes)}\n\n`)
  for (const [key, value] of file.metadata) process.stdout.write(`${key} = ${shownValue(value)}\n`)
  process.stdout.write(`\n${summary(file)}\n`)
  if (flags.tensors) {
    for (const { name, type, dimensions, bytes } of file.tensors) {
      process.stdout.write(`${name}  ${type}  ${dimensions.join(' x ')}  ${megabytes(bytes)}\n`)
    }
  }
  process.stdout.write(
    `Memory: weights ${megabytes(memory.weights)}, KV cache ${megabytes(memory.kv)}, compute ${megabytes(memory.compute)}, together ${megabytes(memory.total)}\n`,
  )
  return 0
}

function summary({ tensors }: GgufFile): string {
  const byType = new Map<string, number>()
  for (const { type } of tensors) byType.set(type, (byType.get(type) ?? 0) + 1)
  return `${tensors.length} tensors: ${[...byType].map(([type, count]) => `${count} ${type}`).join(', ')}`
}

function shownValue(value: GgufValue): string {
  if (value instanceof GgufArray) return `[${value.length} × ${value.type}]`
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function jsonValue(value: GgufValue): unknown {
  if (typeof value === 'bigint') return String(value)
  if (!(value instanceof GgufArray)) return value
  return value.length > 1000 ? { type: value.type, length: value.length } : value.toArray().map((item) => (typeof item === 'bigint' ? String(item) : item))
}
