// The end of managers that keep conversations, and of conversations that nobody uses.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-chats-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const prelude = () => `
const tiny = ${JSON.stringify(inject('models').tiny)}, options = { temperature: 0, maxTokens: 12, ignoreEos: true }
const events = []
const make = async (contexts) => {
  const manager = new sotto.ModelManager({ contexts: { folder: ${JSON.stringify(folder)}, ...contexts, onEvent: ({ type }) => events.push(type) } })
  await manager.load('chat', tiny, { contextSize: 1024 })
  return manager
}
const collect = async () => { for (let i = 0; i < 10; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)) } }
`

it('a manager and conversations that nobody can reach any more let their model go', async () => {
  const outcome = await runScript(
    `${prelude()}
const { readFileSync } = await import('node:fs')
const threads = () => Number(/Threads:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
const use = async () => {
  const manager = await make({})
  const chat = await manager.openChat('a', options)
  await chat.send('Hello').result
  chat.fork('b' + events.length + Math.random())
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

it.each([
  ['they left memory for room', '{ maxTokens: 0 }', ''],
  [
    'their model was replaced',
    '{}',
    `await (await manager.swap('chat', tiny, { contextSize: 512 })).drained`,
  ],
  ['they were closed', '{}', 'await first.deref().close()'],
])(
  'conversations that nobody uses are read from the folder again: %s',
  async (_, contexts, then) => {
    const outcome = await runScript(
      `${prelude()}
const manager = await make(${contexts})
let first
await (async () => {
  const chat = await manager.openChat('a', options)
  await chat.send('Hello').result
  first = new WeakRef(chat)
})()
${then}
while (!events.includes('spilled')) await new Promise((resolve) => setTimeout(resolve, 5))
await collect()
const again = await manager.openChat('a', options)
console.log(first.deref() === undefined, again.history.length)
console.log((await again.send('Again').result).usage.tokensReused > 10, events.includes('restored'))
await manager.close()`,
      { flags: ['--expose-gc'] },
    )
    expect(outcome).toEqual({ code: 0, signal: null, stdout: 'true 2\ntrue true\n', stderr: '' })
  },
)

it.each([
  ['in memory', '{ folder: undefined }'],
  ['where the folder takes no files', '{}'],
])('what was said and is in no file is kept whatever is collected: %s', async (_, contexts) => {
  const outcome = await runScript(
    `${prelude()}
const manager = await make(${contexts})
await (async () => {
  const chat = await manager.openChat('a', options)
  await chat.send('Hello').result
})()
const { rmSync } = await import('node:fs')
rmSync(${JSON.stringify(folder)}, { recursive: true })
await (await manager.swap('chat', tiny, { contextSize: 512 })).drained
await collect()
console.log((await manager.openChat('a')).history.length, events.join())
await manager.close()`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: '2 dropped\n', stderr: '' })
})

it('a process may end while a model that goes writes conversations', async () => {
  const outcome = await runScript(
    `${prelude()}
const manager = await make({})
for (const id of ['a', 'b', 'c']) await (await manager.openChat(id, options)).send('Hello').result
manager.on('drained', () => setImmediate(() => process.exit(7)))
await manager.swap('chat', tiny, { contextSize: 512 })
await new Promise(() => setInterval(() => {}, 1000))`,
  )
  expect(outcome).toEqual({ code: 7, signal: null, stdout: '', stderr: '' })
})

it('a manager that is not closed keeps no process alive, and one that is has written', async () => {
  const outcome = await runScript(
    `${prelude()}
const left = await make({})
await (await left.openChat('a', options)).send('Hello').result
const manager = await make({})
await (await manager.openChat('b', options)).send('Hello').result
await manager.close()
console.log('end')`,
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'end\n', stderr: '' })
  expect(readdirSync(folder)).toHaveLength(1)
})
