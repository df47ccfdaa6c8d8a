// Files of conversations that are not what they should be: the conversation is computed again, nothing else is lost, and an event says why.

import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type ChatOptions, loadModel, type Model } from '../../lib/index.js'
import { headerBytes, parseStateHeader } from '../../lib/manager/state-header.js'
import { flip, forge, makeFolder, openCache } from '../helpers/chat-folder.js'
import { expectCode } from '../helpers/expect-code.js'

const options: ChatOptions = { temperature: 0, maxTokens: 12, ignoreEos: true }
const words = ['My name is Ada and I keep a boat in the harbour.', 'Who am I?'] as const
const key = randomBytes(32)

let place: ReturnType<typeof makeFolder>
let model: Model
let expected: string
beforeAll(async () => {
  model = await loadModel(inject('models').tiny, { contextSize: 1024 })
  const chat = model.chat({ ...options, reusePrefix: false })
  await chat.send(words[0]).result
  expected = (await chat.send(words[1]).result).text
})
afterAll(() => model.close())
beforeEach(() => {
  place = makeFolder()
})
afterEach(() => place.remove())

/** Has a conversation whose past lies in a file only, does something to the file, and goes on. */
async function spoiled(
  its: { key?: Uint8Array },
  spoil: (path: string) => void,
): Promise<{ reason: string; reused: number; others: string }> {
  const { cache, events, heard } = await openCache(model, {
    folder: place.folder,
    ...its,
    maxTokens: 100,
  })
  const chat = await cache.open('ada', { ...options, principal: 'ada' })
  await chat.send(words[0]).result
  const other = await cache.open('bob', { ...options, principal: 'bob' })
  await other.send(words[0]).result
  await heard('spilled', 'ada')
  const [path] = place.files()
  spoil(path!)
  const streaming = other.send(words[1]).result
  const { text, usage } = await chat.send(words[1]).result
  expect(text).toBe(expected)
  expect((await streaming).text).toBe(expected)
  const refused = await heard('refused', 'ada')
  expect(refused.error).toMatchObject({ code: 'ERR_STATE_INVALID' })
  expect(events.filter(({ type }) => type === 'refused')).toHaveLength(1)
  await cache.close()
  return { reason: refused.error!.message, reused: usage.tokensReused, others: other.id }
}

const sizeOf = (path: string) => statSync(path).size
const cut = (share: number) => (path: string) =>
  truncateSync(path, Math.floor(sizeOf(path) * share))
const at = (where: 'header' | 'salt' | 'state' | 'tokens' | 'tag') => (path: string) => {
  const { messageBytes } = parseStateHeader(readFileSync(path))
  const tokensAt = headerBytes + messageBytes + 32
  flip(
    path,
    { header: 64, salt: 20, tokens: tokensAt + 5, state: tokensAt + 9000, tag: -20 - 12 }[where],
  )
}

describe.each([
  ['without a key', {}],
  ['with a key', { key }],
])('%s', (_, its) => {
  it.each<[what: string, spoil: (path: string) => void, reason: RegExp]>([
    ['cut in the middle', cut(0.5), /a file of \d+ bytes that says it has \d+/],
    ['cut in its header', (path) => truncateSync(path, 100), /100 bytes where a header has 176/],
    ['empty', (path) => truncateSync(path, 0), /0 bytes where/],
    ['longer than it says', (path) => writeFileSync(path, 'x', { flag: 'a' }), /that says it has/],
    ['with a flipped byte in its header', at('header'), /header that is not what was written/],
    ['with a flipped byte in its salt', at('salt'), /header that is not what was written/],
    [
      'with a flipped byte in its tokens',
      at('tokens'),
      /keys and values that are not what was written/,
    ],
    [
      'with a flipped byte in its state',
      at('state'),
      /keys and values that are not what was written/,
    ],
    ['with a flipped byte in its tag', at('tag'), /keys and values that are not what was written/],
    ['of zeros', (path) => writeFileSync(path, Buffer.alloc(sizeOf(path))), /another kind of file/],
    [
      'that is a FIFO',
      (path) => {
        rmSync(path)
        execFileSync('mkfifo', [path])
      },
      /something that is no file/,
    ],
    [
      'that is a symbolic link to the right one',
      (path) => {
        copyFileSync(path, `${path}.real`)
        rmSync(path)
        symlinkSync(`${path}.real`, path)
      },
      /a symbolic link/,
    ],
    [
      'that is a folder',
      (path) => {
        rmSync(path)
        mkdirSync(path)
      },
      /something that is no file/,
    ],
  ])('a file %s', async (_, spoil, reason) => {
    const outcome = await spoiled(its, spoil)
    expect(outcome.reason).toMatch(reason)
    expect(outcome.reused).toBe(0)
  })

  it('a file cut at each of a hundred places', async () => {
    const { cache, heard } = await openCache(model, { folder: place.folder, ...its })
    const chat = await cache.open('ada', options)
    await chat.send(words[0]).result
    await chat.save()
    await heard('saved', 'ada')
    await cache.close()
    const [path] = place.files()
    const whole = readFileSync(path!)
    for (let i = 0; i < 100; i++) {
      writeFileSync(path!, whole.subarray(0, Math.floor((whole.length * i) / 100)))
      const again = await openCache(model, { folder: place.folder, ...its })
      expect((await again.cache.open('ada', options)).history).toEqual([])
      expect((await again.heard('refused', 'ada')).error?.code).toBe('ERR_STATE_INVALID')
      await again.cache.close()
    }
  })
})

describe('whose a file is', () => {
  /** Two conversations in files; the first gets the second's. */
  async function exchanged(
    first: Parameters<typeof openCache>[1],
    second: Parameters<typeof openCache>[1],
    principals: [string, string],
    other: Model = model,
  ) {
    const write = async (its: typeof first, principal: string, of: Model) => {
      const before = place.files()
      const { cache } = await openCache(of, { folder: place.folder, ...its })
      const chat = await cache.open('a', { ...options, principal })
      await chat.send(words[0]).result
      await cache.close()
      return place.files().find((path) => !before.includes(path)) ?? before[0]!
    }
    const one = await write(first, principals[0], model)
    const two = await write(second, principals[1], other)
    if (one !== two) copyFileSync(two, one)
    const { cache, heard } = await openCache(model, { folder: place.folder, ...first })
    const chat = await cache.open('a', { ...options, principal: principals[0] })
    const history = chat.history
    const answer = await chat.send(history.length > 0 ? words[1] : words[0]).result
    const { error } = await heard('refused', 'a')
    await cache.close()
    return { history, answer, message: error!.message, code: error!.code }
  }

  it("another principal's says nothing", async () => {
    const { history, message, answer } = await exchanged({}, {}, ['ada', 'bob'])
    expect(history).toEqual([])
    expect(answer.usage.tokensReused).toBe(0)
    expect(message).toMatch(/somebody else's/)
  })

  it("another key's says nothing", async () => {
    const { history, message } = await exchanged({ key }, { key: randomBytes(32) }, ['a', 'a'])
    expect(history).toEqual([])
    expect(message).toMatch(/somebody else's|another key/)
  })

  it('one without a key is not taken for one with a key', async () => {
    const { history, message } = await exchanged({ key }, {}, ['a', 'a'])
    expect(history).toEqual([])
    expect(message).toMatch(/not encrypted, and a key/)
  })

  it("another model's keeps what was said, and is computed again", async () => {
    await using other = await loadModel(inject('models').tools, { contextSize: 1024 })
    const { history, message, answer } = await exchanged({}, {}, ['a', 'a'], other)
    expect(history).toHaveLength(4)
    expect(message).toMatch(/what another one did/)
    expect(answer.usage.tokensReused).toBe(0)
  })

  it('so does one of the same model with another type of keys and values', async () => {
    await using other = await loadModel(inject('models').tiny, {
      contextSize: 1024,
      cacheType: 'f32',
    })
    const { history, message } = await exchanged({}, {}, ['a', 'a'], other)
    expect(history).toHaveLength(4)
    expect(message).toMatch(/other options/)
  })

  it('and one with an adapter', async () => {
    await using other = await loadModel(inject('models').tiny, {
      contextSize: 1024,
      adapters: [{ path: inject('models').lora }],
    })
    const { history, message } = await exchanged({}, {}, ['a', 'a'], other)
    expect(history).toHaveLength(4)
    expect(message).toMatch(/what another one did/)
  })
})

// (51) A failed restore of a saved state leaves the KV usable. These have the right sums: whoever may write to the folder can make them.
describe('states that only native code can refuse', () => {
  it.each<[what: string, change: (state: Buffer, tokens: Int32Array) => Buffer | undefined]>([
    ['of another magic number', (state) => void state.writeUInt32LE(7, 0)],
    ['of two streams', (state) => void state.writeUInt32LE(2, 8)],
    ['of no stream', (state) => void state.writeUInt32LE(0, 8)],
    ['of no cells', (state) => void state.writeUInt32LE(0, 12)],
    ['of 2^32 − 1 cells', (state) => void state.writeUInt32LE(0xffffffff, 12)],
    ['of one cell more', (state) => void state.writeUInt32LE(state.readUInt32LE(12) + 1, 12)],
    ['with a position of −1', (state) => void state.writeInt32LE(-1, 16)],
    ['with a position of 2^31 − 1', (state) => void state.writeInt32LE(2 ** 31 - 1, 16)],
    ['with a position twice', (state) => void state.writeInt32LE(state.readInt32LE(28), 16)],
    ['with a cell of no sequence', (state) => void state.writeUInt32LE(0, 20)],
    ['with a cell of many sequences', (state) => void state.writeUInt32LE(0x7fffffff, 20)],
    [
      'of another number of layers',
      (state) => void state.writeUInt32LE(99, 16 + 12 * state.readUInt32LE(12) + 4),
    ],
    [
      'of transposed values',
      (state) => void state.writeUInt32LE(1, 16 + 12 * state.readUInt32LE(12)),
    ],
    [
      'of another type',
      (state) => void state.writeInt32LE(8, 16 + 12 * state.readUInt32LE(12) + 8),
    ],
    [
      'of longer rows',
      (state) => void state.writeBigUInt64LE(1n << 40n, 16 + 12 * state.readUInt32LE(12) + 12),
    ],
    ['that ends early', (state) => state.subarray(0, state.length - 100)],
    ['that ends in its cells', (state) => state.subarray(0, 64)],
    ['of one byte', (state) => state.subarray(0, 1)],
    ['that goes on', (state) => Buffer.concat([state, Buffer.alloc(100)])],
    ['of tokens that the model has not', (_, tokens) => void tokens.fill(2 ** 30)],
    ['of negative tokens', (_, tokens) => void tokens.fill(-1)],
  ])('one %s leaves the others as they are', async (_, change) => {
    const outcome = await spoiled({}, (path) => forge(path, change))
    expect(outcome.reason).toMatch(/engine refused/)
    expect(outcome.reused).toBe(0)
  })

  it('one whose keys and values are not numbers harms nobody but itself', async () => {
    const { cache, heard } = await openCache(model, { folder: place.folder, maxTokens: 100 })
    const chat = await cache.open('ada', { ...options, principal: 'ada' })
    await chat.send(words[0]).result
    const other = await cache.open('bob', { ...options, principal: 'bob' })
    await other.send(words[0]).result
    await heard('spilled', 'ada')
    forge(
      place.files()[0]!,
      (state) => void state.fill(0xff, 16 + 12 * state.readUInt32LE(12) + 20, 9000),
    )
    const [, others] = await Promise.all([
      chat.send(words[1]).result.catch(() => {}),
      other.send(words[1]).result,
    ])
    expect(others.text).toBe(expected)
    await cache.close()
  })
})

describe('the disk', () => {
  const entry = pathToFileURL(resolve('dist/index.js')).href
  const program = (rest: string) => `
const { ContextCache, loadModel } = await import(${JSON.stringify(entry)})
const model = await loadModel(${JSON.stringify(inject('models').tiny)}, { contextSize: 1024 })
const options = ${JSON.stringify(options)}
const events = []
const cache = await ContextCache.create(model, { folder: ${JSON.stringify(place.folder)}, maxTokens: 0, onEvent: (event) => events.push(event) })
const heard = async (type) => { while (!events.some((event) => event.type === type)) await new Promise((done) => setTimeout(done, 5)); return events.find((event) => event.type === type) }
${rest}`

  it('when it is full the conversation is computed again, and nothing of the file stays', async () => {
    const source = program(`
process.on('SIGXFSZ', () => {})
const chat = await cache.open('ada', options)
await chat.send(${JSON.stringify(words[0])}).result
const { error } = await heard('dropped')
const { text, usage } = await chat.send(${JSON.stringify(words[1])}).result
while (events.length < 2) await new Promise((done) => setTimeout(done, 5))
await chat.save()
console.log(JSON.stringify({ code: error.code, message: error.message, text, reused: usage.tokensReused, history: chat.history.length }))
process.exit(0)`)
    // 8 KiB a file is what the shell allows.
    const said = execFileSync(
      'bash',
      ['-c', 'ulimit -f 8; exec "$0" --input-type=module -e "$1"', process.execPath, source],
      { encoding: 'utf8' },
    )
    const { code, message, text, history } = JSON.parse(said)
    expect({ code, text, history }).toEqual({ code: 'ERR_DISK', text: expected, history: 4 })
    expect(message).toMatch(/EFBIG|too large/)
    // What was said has room.
    const [path, ...more] = place.files()
    expect(more).toEqual([])
    expect(parseStateHeader(readFileSync(path!))).toMatchObject({ tokens: 0, stateBytes: 0 })
  })

  it.runIf(process.getuid?.() !== 0)('without permission it is the same', async () => {
    const { cache, heard } = await openCache(model, { folder: place.folder, maxTokens: 0 })
    chmodSync(place.folder, 0o500)
    await (await cache.open('a', options)).send(words[0]).result
    expect((await heard('dropped', 'a')).error).toMatchObject({ code: 'ERR_DISK' })
    await cache.close()
    chmodSync(place.folder, 0o700)
  })

  it('a folder that others may write to is refused, one that cannot be is ERR_DISK', async () => {
    chmodSync(place.folder, 0o777)
    await expectCode('ERR_OPTION_INVALID', () => openCache(model, { folder: place.folder }))
    chmodSync(place.folder, 0o700)
    writeFileSync(join(place.folder, 'file'), '')
    await expectCode('ERR_DISK', () =>
      openCache(model, { folder: join(place.folder, 'file', 'x') }),
    )
  })

  it('a process that is killed while it writes leaves nothing that the next start does not clear', async () => {
    const kept = await openCache(model, { folder: place.folder })
    const chat = await kept.cache.open('ada', options)
    await chat.send(words[0]).result
    await kept.cache.close()
    const whole = place.files()
    expect(whole).toHaveLength(1)
    // Stops at the first partial file that it sees, which is in the middle of a write.
    const source = program(`
const { readdirSync } = await import('node:fs')
const chats = await Promise.all(Array.from({ length: 8 }, (_, i) => cache.open('k' + i, options)))
for (;;) {
  await Promise.all(chats.map((chat) => chat.send('And?', { maxTokens: 2 }).result))
  if (readdirSync(${JSON.stringify(place.folder)}).some((name) => name.endsWith('.partial'))) process.kill(process.pid, 'SIGKILL')
  for (const chat of chats) chat.reset()
}`)
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: 'ignore',
    })
    const [, signal] = await new Promise<[number | null, string | null]>((done) =>
      child.on('close', (code, by) => done([code, by])),
    )
    expect(signal).toBe('SIGKILL')
    expect(place.files().some((path) => path.endsWith('.partial'))).toBe(true)
    const again = await openCache(model, { folder: place.folder })
    expect(place.files().some((path) => path.endsWith('.partial'))).toBe(false)
    const opened = await again.cache.open('ada', options)
    expect((await opened.send(words[1]).result).text).toBe(expected)
    await again.heard('restored', 'ada')
    await again.cache.close()
  })

  it('two processes on one folder leave whole files, and neither clears what the other writes', async () => {
    const source = program(`
const chat = await cache.open('shared', options)
for (let i = 0; i < 10; i++) {
  await chat.send('And ' + i + '?', { maxTokens: 2 }).result
  await chat.save()
}
await cache.close()
const failed = events.filter(({ type, error }) => type === 'refused' || (type === 'dropped' && error))
console.log(JSON.stringify(failed))
await model.close()`)
    const run = () => execFileAsync(process.execPath, ['--input-type=module', '-e', source])
    const outputs = await Promise.all([run(), run(), run()])
    for (const output of outputs) expect(JSON.parse(output)).toEqual([])
    const { cache, events } = await openCache(model, { folder: place.folder })
    const chat = await cache.open('shared', options)
    expect(chat.history.length).toBeGreaterThan(2)
    await chat.send(words[1]).result
    expect(events.some(({ type }) => type === 'refused')).toBe(false)
    await cache.close()
    expect(place.files()).toHaveLength(1)
  })
})

function execFileAsync(file: string, args: string[]): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      stderr += chunk
    })
    child.on('close', (code) => (code === 0 ? done(stdout) : fail(new Error(stderr))))
  })
}
