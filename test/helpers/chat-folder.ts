// chat-folder.ts: a folder of saved conversations, and what hostile hands do to the files in it.

import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import {
  ContextCache,
  type ContextCacheEvent,
  type ContextCacheOptions,
  type Model,
} from '../../lib/index.js'
import { headerBytes, parseStateHeader } from '../../lib/manager/state-header.js'

export function makeFolder(): { folder: string; remove: () => void; files: () => string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-chats-'))
  return {
    folder,
    remove: () => rmSync(folder, { recursive: true, force: true }),
    files: () =>
      readdirSync(folder)
        .sort()
        .map((name) => join(folder, name)),
  }
}

/** A cache and what it has said. */
export async function openCache(
  model: Model,
  options: ContextCacheOptions = {},
): Promise<{
  cache: ContextCache
  events: ContextCacheEvent[]
  heard: (type: ContextCacheEvent['type'], id: string) => Promise<ContextCacheEvent>
}> {
  const events: ContextCacheEvent[] = []
  const cache = await ContextCache.create(model, {
    ...options,
    onEvent: (event) => {
      events.push(event)
      options.onEvent?.(event)
    },
  })
  const heard = (type: ContextCacheEvent['type'], id: string) =>
    vi.waitFor(
      () => {
        const found = events.find((event) => event.type === type && event.id === id)
        if (!found) throw new Error(`Expected ${type} ${id}, heard ${JSON.stringify(events)}`)
        return found
      },
      { timeout: 20_000, interval: 5 },
    )
  return { cache, events, heard }
}

/** Changes one byte. */
export function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at]! ^= 0x10
  writeFileSync(path, bytes)
}

/** Changes the state of a file without a key, and makes its sums right again. */
export function forge(
  path: string,
  change: (state: Buffer, tokens: Int32Array) => Buffer | undefined,
): void {
  const bytes = readFileSync(path)
  const { messageBytes, tokens, stateBytes } = parseStateHeader(bytes)
  const numbersAt = headerBytes + messageBytes + 32
  const numbers = new Int32Array(
    bytes.buffer.slice(bytes.byteOffset + numbersAt, bytes.byteOffset + numbersAt + 4 * tokens),
  )
  const state = Buffer.from(
    bytes.subarray(numbersAt + 4 * tokens, numbersAt + 4 * tokens + stateBytes),
  )
  const changed = change(state, numbers) ?? state
  const header = Buffer.from(bytes.subarray(0, headerBytes))
  header.writeBigUInt64LE(BigInt(changed.length), 64)
  createHash('sha256').update(header.subarray(0, 144)).digest().copy(header, 144)
  const text = bytes.subarray(headerBytes, headerBytes + messageBytes)
  const tag = (part: number, ...data: Uint8Array[]) =>
    data
      .reduce(
        (hash, piece) => hash.update(piece),
        createHash('sha256').update(header).update(Uint8Array.of(part)),
      )
      .digest()
  const its = [new Uint8Array(numbers.buffer), changed]
  writeFileSync(path, Buffer.concat([header, text, tag(1, text), ...its, tag(2, ...its)]))
}
