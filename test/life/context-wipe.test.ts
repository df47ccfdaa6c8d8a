// (45) After a wipe no keys or values of a conversation are in the process's memory. They are looked for from outside: whoever looks
// for something in its own memory finds itself.

import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type ChatOptions, loadModel } from '../../lib/index.js'
import { headerBytes, parseStateHeader } from '../../lib/manager/state-header.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { openCache } from '../helpers/chat-folder.js'
import { expectCode } from '../helpers/expect-code.js'

const options: ChatOptions = { temperature: 0, maxTokens: 8, ignoreEos: true, speculation: false }
const words = 'My name is Ada and I keep a boat in the harbour, of which nobody else may know.'
const load = { contextSize: 512, threads: 1 }

/** Times that `needle` is in memory that the process may write. */
function count(pid: number, needle: Buffer): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const piece = Buffer.alloc(2 ** 22)
  let found = 0
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
    if (!from || !to) continue
    const end = Number.parseInt(to, 16)
    // Overlapping, so that nothing hides on a border.
    for (let at = Number.parseInt(from, 16); at < end; at += piece.length - needle.length) {
      let bytes = 0
      try {
        bytes = readSync(memory, piece, 0, Math.min(piece.length, end - at), at)
      } catch {
        break // a guard page
      }
      const its = piece.subarray(0, bytes)
      for (let hit = its.indexOf(needle); hit >= 0; hit = its.indexOf(needle, hit + 1)) found++
    }
  }
  closeSync(memory)
  return found
}

describe.runIf(process.platform === 'linux')('keys and values in memory', () => {
  let folder: string
  let needles: Buffer[]
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-wipe-'))
    await using model = await loadModel(inject('models').tiny, load)
    const { cache, heard } = await openCache(model, { folder: join(folder, 'canary') })
    const chat = await cache.open('a', options)
    await chat.send(words).result
    await chat.save()
    await heard('saved', 'a')
    // The keys of two tokens in the first layer, and of one in the last bytes of its values.
    const [name] = readdirSync(join(folder, 'canary'))
    const file = readFileSync(join(folder, 'canary', name!))
    const { messageBytes, tokens } = parseStateHeader(file)
    const state = headerBytes + messageBytes + 32 + 4 * tokens
    const keys = state + 16 + 12 * tokens + 8 + 12
    const row = Number(file.readBigUInt64LE(keys - 8))
    const rows = [keys + 20 * row, keys + 31 * row, file.length - 32 - 5 * row]
    needles = rows.map((at) => Buffer.from(file.subarray(at, at + row)))
    await cache.close()
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** A program that has the conversation, and says each of `steps` before it does it. */
  function start(cacheOptions: object, steps: string[]): ChildProcess {
    const entry = pathToFileURL(resolve('dist/index.js')).href
    const source = `
const { ContextCache, loadModel } = await import(${JSON.stringify(entry)})
const lines = (await import('node:readline')).createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const model = await loadModel(${JSON.stringify(inject('models').tiny)}, ${JSON.stringify(load)})
const types = []
const heard = async (type) => { while (!types.includes(type)) await new Promise((done) => setTimeout(done, 5)); types.length = 0 }
const cache = await ContextCache.create(model, { ...${JSON.stringify(cacheOptions)}, key: ${'key' in cacheOptions ? 'Buffer.alloc(32, 5)' : 'undefined'}, onEvent: ({ type }) => types.push(type) })
let chat = await cache.open('a', ${JSON.stringify(options)})
await chat.send(${JSON.stringify(words)}).result
const other = await cache.open('b', ${JSON.stringify(options)})
for (const step of ${JSON.stringify(steps)}) {
  console.log('before')
  await lines.next()
  await eval('(async () => {' + step + '})()')
  // What is done is done when the next answer comes.
  await model.complete('x', { maxTokens: 1 }).result
}
console.log('after')
await lines.next()
process.exit(0)`
    return spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
  }

  /** How often the needles are in memory before each step and after the last. */
  async function found(cacheOptions: object, steps: string[]): Promise<number[]> {
    const child = start(cacheOptions, steps)
    const counts: number[] = []
    for await (const chunk of child.stdout!) {
      for (const _ of String(chunk).trim().split('\n')) {
        counts.push(needles.reduce((sum, needle) => sum + count(child.pid!, needle), 0))
        child.stdin!.write('\n')
      }
    }
    return counts
  }

  it('are there while the conversation is, and after it where nothing is wiped', async () => {
    const [before, after] = await found({}, ["await cache.remove('a')"])
    expect(before).toBeGreaterThanOrEqual(3)
    expect(after).toBeGreaterThan(0)
  })

  it('are gone when it was removed', async () => {
    const [before, after] = await found({ wipe: true }, ["await cache.remove('a')"])
    expect(before).toBeGreaterThanOrEqual(3)
    expect(after).toBe(0)
  })

  it('are gone when it was spilled to an encrypted file', async () => {
    const its = { wipe: true, maxTokens: 50, folder: join(folder, 'spilled'), key: true }
    // Before the step it may be on its way.
    const [, after] = await found(its, ["await heard('spilled')"])
    expect(after).toBe(0)
  })

  it('are gone when the cache was closed', async () => {
    const [before, after] = await found({ wipe: true, folder: join(folder, 'closed'), key: true }, [
      'await cache.close()',
    ])
    expect(before).toBeGreaterThanOrEqual(3)
    expect(after).toBe(0)
  })

  it('of another conversation stay: it answers as before', async () => {
    await using model = await loadModel(inject('models').tiny, load)
    const { cache } = await openCache(model, { wipe: true })
    const [one, two] = await Promise.all([cache.open('one', options), cache.open('two', options)])
    await one.send(words).result
    await two.send('Hello').result
    await cache.remove('one')
    const kept = await two.send('And?').result
    await cache.close()
    const plain = model.chat({ ...options, reusePrefix: false })
    await plain.send('Hello').result
    expect(kept.usage.tokensReused).toBeGreaterThan(5)
    expect(kept.text).toBe((await plain.send('And?').result).text)
  })

  it('of a recurrent model cannot be wiped: that is refused', async () => {
    await using model = await loadModel(
      makeTinyModel(join(folder, 'mamba.gguf'), { kind: 'mamba' }),
      load,
    )
    await expectCode('ERR_OPTION_INVALID', () => openCache(model, { wipe: true }))
  })
})
