// The end of a cache of conversations, at every stage of their lives.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { ContextCache, loadModel } from '../../lib/index.js'
import { openCache } from '../helpers/chat-folder.js'
import { expectCode } from '../helpers/expect-code.js'
import { runScript } from '../helpers/run-script.js'

const options = { temperature: 0, maxTokens: 12, ignoreEos: true }
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-chats-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const load = () => loadModel(inject('models').tiny, { contextSize: 1024 })

it('close() may come twice and at once; afterwards every call is ERR_CACHE_CLOSED', async () => {
  await using model = await load()
  const { cache } = await openCache(model, { folder })
  const chat = await cache.open('a', options)
  await chat.send('Hello').result
  await Promise.all([cache.close(), cache.close()])
  await cache.close()
  await expectCode('ERR_CACHE_CLOSED', () => chat.send('Again'))
  await expectCode('ERR_CACHE_CLOSED', () => chat.save())
  await expectCode('ERR_CACHE_CLOSED', () => chat.fork())
  await expectCode('ERR_CACHE_CLOSED', () => cache.open('b'))
  await expectCode('ERR_CACHE_CLOSED', () => cache.remove('a'))
  expect(readdirSync(folder)).toHaveLength(1)
})

it('while an answer streams: it goes on to its end, and the model keeps nothing of it', async () => {
  await using model = await load()
  const { cache } = await openCache(model, { folder })
  const chat = await cache.open('a', { ...options, maxTokens: 200 })
  const stream = chat.send('Hello')
  let closing: Promise<void> | undefined
  let parts = 0
  for await (const _ of stream) {
    parts++
    closing ??= cache.close()
  }
  await closing
  expect(parts).toBeGreaterThan(5)
  expect((await stream.result).usage.tokensGenerated).toBe(200)
  expect(readdirSync(folder)).toEqual([])
})

it('while conversations are spilled and restored: what was said is in files then', async () => {
  await using model = await load()
  const { cache } = await openCache(model, { folder, maxTokens: 0 })
  const chats = await Promise.all(['a', 'b', 'c'].map((id) => cache.open(id, options)))
  await Promise.all(chats.map((chat) => chat.send('Hello').result))
  const second = Promise.all(chats.map((chat) => chat.send('And again').result))
  const closing = cache.close()
  await second
  await closing
  const names = readdirSync(folder)
  expect(names.filter((name) => name.endsWith('.partial'))).toEqual([])
  const again = await openCache(model, { folder })
  for (const { id } of chats)
    expect((await again.cache.open(id, options)).history.length).toBeGreaterThanOrEqual(2)
  await again.cache.close()
})

it('the model may be closed first: answers fail, the cache closes, nothing waits', async () => {
  const model = await load()
  const { cache } = await openCache(model, { folder, maxTokens: 0 })
  const chats = await Promise.all(['a', 'b'].map((id) => cache.open(id, options)))
  await Promise.all(chats.map((chat) => chat.send('Hello').result))
  const streaming = chats[0]!.send('Again', { maxTokens: 500 })
  await Promise.all([expectCode('ERR_MODEL_CLOSED', () => streaming.result), model.close()])
  await expectCode('ERR_MODEL_CLOSED', () => chats[1]!.send('Again'))
  await expectCode('ERR_MODEL_CLOSED', () => cache.open('c'))
  await cache.close()
  await expectCode('ERR_MODEL_CLOSED', () => ContextCache.create(model))
})

const script = (body: string) => `
const model = await sotto.loadModel(${JSON.stringify(inject('models').tiny)}, { contextSize: 1024 })
const cache = await sotto.ContextCache.create(model, { folder: ${JSON.stringify(folder)}, maxTokens: 0 })
const options = ${JSON.stringify(options)}
const chats = await Promise.all(['a', 'b', 'c', 'd'].map((id) => cache.open(id, options)))
const all = (text) => Promise.all(chats.map((chat) => chat.send(text).result))
${body}`

describe('process.exit', () => {
  it.each<[string, string]>([
    ['while conversations are written', "await all('Hello'); process.exit(7)"],
    [
      'while they are read',
      "await all('Hello'); all('Again').catch(() => {}); setTimeout(() => process.exit(7), 3)",
    ],
    ['while answers stream', "all('Hello').catch(() => {}); setTimeout(() => process.exit(7), 30)"],
    ['while the cache closes', "await all('Hello'); cache.close(); process.exit(7)"],
  ])('%s ends with its code and without a word', async (_, body) => {
    expect(await runScript(script(body))).toEqual({ code: 7, signal: null, stdout: '', stderr: '' })
  })

  it('an open cache does not keep the process alive', async () => {
    expect(await runScript(script("await all('Hello')"))).toEqual({
      code: 0,
      signal: null,
      stdout: '',
      stderr: '',
    })
  })
})

it('workers that are terminated while they write and read leave the process whole', async () => {
  const entry = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)
  const body = script("for (;;) { await all('Hello'); parentPort.postMessage('going') }")
  const source = `const { parentPort } = require('node:worker_threads'); import(${entry}).then(async (sotto) => { ${body} })`
  const outcome = await runScript(`
const { Worker } = await import('node:worker_threads')
const workers = Array.from({ length: 3 }, () => new Worker(${JSON.stringify(source)}, { eval: true, execArgv: [] }))
await Promise.all(workers.map((worker) => new Promise((resolve, reject) => { worker.once('message', resolve); worker.once('error', reject) })))
await Promise.all(workers.map((worker) => worker.terminate()))
console.log('whole')`)
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'whole\n', stderr: '' })
})

it('a cache and conversations that nobody can reach any more let their model go', async () => {
  const outcome = await runScript(
    `
const collect = async () => { for (let i = 0; i < 10; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)) } }
const { readFileSync } = await import('node:fs')
const threads = () => Number(/Threads:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
const use = async () => {
  const model = await sotto.loadModel(${JSON.stringify(inject('models').tiny)}, { contextSize: 1024 })
  const cache = await sotto.ContextCache.create(model, { folder: ${JSON.stringify(folder)} })
  const chat = await cache.open('a', ${JSON.stringify(options)})
  await chat.send('Hello').result
}
await use()
await collect()
const before = threads()
for (let i = 0; i < 5; i++) await use()
await collect()
console.log(threads() <= before + 1)`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'true\n', stderr: '' })
})

it('conversations that nobody uses any more are read from their files again', async () => {
  const outcome = await runScript(
    `
const collect = async () => { for (let i = 0; i < 10; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)) } }
const model = await sotto.loadModel(${JSON.stringify(inject('models').tiny)}, { contextSize: 1024 })
const events = []
const cache = await sotto.ContextCache.create(model, { folder: ${JSON.stringify(folder)}, maxTokens: 0, onEvent: ({ type }) => events.push(type) })
let first
await (async () => {
  const chat = await cache.open('a', ${JSON.stringify(options)})
  await chat.send('Hello').result
  first = new WeakRef(chat)
})()
while (!events.includes('spilled')) await new Promise((resolve) => setTimeout(resolve, 5))
await collect()
const again = await cache.open('a', ${JSON.stringify(options)})
console.log(first.deref() === undefined, again.history.length)
await again.send('Again').result
console.log(events.includes('restored'))
await cache.close()
await model.close()`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toEqual({
    code: 0,
    signal: null,
    stdout: 'true 2\ntrue\n',
    stderr: '',
  })
})
