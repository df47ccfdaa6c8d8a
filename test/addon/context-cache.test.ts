// Conversations that are kept: what stays in memory, what goes to files and comes back. That something came back is said by
// usage.tokensReused, and that it was right by the text.

import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  it,
  vi,
} from 'vitest'
import { type ChatOptions, loadModel, type Model, type StreamResult } from '../../lib/index.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { makeFolder, openCache } from '../helpers/chat-folder.js'
import { expectCode } from '../helpers/expect-code.js'

const options: ChatOptions = { temperature: 0, maxTokens: 12, ignoreEos: true }
const said = (name: string) => `My name is ${name} and I keep a boat in the harbour.`

let place: ReturnType<typeof makeFolder>
beforeEach(() => {
  place = makeFolder()
})
afterEach(() => place.remove())

describe('conversations of a tiny model', () => {
  let model: Model
  beforeAll(async () => {
    model = await loadModel(inject('models').tiny, { contextSize: 2048 })
  })
  afterAll(() => model.close())

  let strangers = 0
  /** What a chat that never leaves memory answers to the same words, and how much each turn finds. */
  async function asUsual(...words: string[]): Promise<{ text: string; reused: number }[]> {
    const chat = model.chat({ ...options, principal: `usual ${strangers++}` })
    const answers: { text: string; reused: number }[] = []
    for (const word of words) {
      const { text, usage } = await chat.send(word).result
      answers.push({ text, reused: usage.tokensReused })
    }
    return answers
  }
  const summary = ({ text, usage }: StreamResult) => ({ text, reused: usage.tokensReused })

  it('the least recently used leaves for a file, and its next turn computes only what is new', async () => {
    const { cache, heard } = await openCache(model, { folder: place.folder, maxTokens: 80 })
    const o = { ...options, principal: 'lru' }
    const [one, two] = [await cache.open('one', o), await cache.open('two', o)]
    const first = await one.send(said('Ada')).result
    await two.send(said('Bob')).result
    const { tokens } = await heard('spilled', 'one')
    expect(tokens).toBe(first.usage.tokensPrompt + first.usage.tokensGenerated - 1)
    expect(cache.inMemory.conversations).toBe(1)
    const again = await one.send('Who am I?').result
    expect((await heard('restored', 'one')).tokens).toBe(tokens)
    expect([summary(first), summary(again)]).toEqual(await asUsual(said('Ada'), 'Who am I?'))
    await cache.close()
  })

  it('the use of a conversation keeps it, whatever the order of opening', async () => {
    const probe = await asUsual(said('a'), 'And?')
    expect(probe).toHaveLength(2)
    const { cache, heard, events } = await openCache(model, {
      folder: place.folder,
      maxTokens: 250,
    })
    const chats = await Promise.all(['a', 'b', 'c'].map((id) => cache.open(id, options)))
    for (const chat of chats) await chat.send(said(chat.id)).result
    await chats[0]!.send('And?').result
    expect(events).toEqual([])
    await (await cache.open('d', options)).send(said('d')).result
    await heard('spilled', 'b')
    expect(events.some(({ id }) => id === 'a')).toBe(false)
    await cache.close()
  })

  it('bytes are a budget too, and both are reported', async () => {
    const { cache, heard } = await openCache(model, { folder: place.folder, maxBytes: 1 })
    const chat = await cache.open('big', options)
    await chat.send(said('Ada')).result
    await heard('spilled', 'big')
    expect(cache.inMemory).toEqual({ conversations: 0, tokens: 0, bytes: 0 })
    await cache.close()
  })

  it('without a folder what leaves is dropped, and is computed again with the same answer', async () => {
    const { cache, heard } = await openCache(model, { maxTokens: 0 })
    const first = await (await cache.open('one', options)).send(said('Ada')).result
    await heard('dropped', 'one')
    // Its history is still there under its name.
    const again = await (await cache.open('one')).send('Who am I?', options).result
    const [usual, later] = await asUsual(said('Ada'), 'Who am I?')
    expect([first.text, again.text]).toEqual([usual!.text, later!.text])
    await cache.close()
  })

  it('what was saved opens in another cache, with its history, and goes on from there', async () => {
    const before = await openCache(model, { folder: place.folder })
    const chat = await before.cache.open('ada', { ...options, system: 'Be brief.' })
    await chat.send(said('Ada')).result
    await chat.save()
    await before.heard('saved', 'ada')
    expect(before.cache.inMemory.conversations).toBe(1)
    await before.cache.close()
    const after = await openCache(model, { folder: place.folder })
    const opened = await after.cache.open('ada', { ...options, system: 'Not this one.' })
    expect(opened.history).toEqual(chat.history)
    const usual = model.chat({ ...options, system: 'Be brief.', principal: 'saved' })
    await usual.send(said('Ada')).result
    const again = await opened.send('Who am I?').result
    expect(summary(again)).toEqual(summary(await usual.send('Who am I?').result))
    expect(again.usage.tokensReused).toBeGreaterThan(30)
    await after.heard('restored', 'ada')
    await after.cache.close()
  })

  it('a fork goes on from what its parent computed, in memory and from its file', async () => {
    const [, usual] = await asUsual(said('Ada'), 'Who am I?')
    const o = { ...options, principal: 'forks' }
    const { cache } = await openCache(model, { folder: place.folder, maxTokens: 400 })
    const parent = await cache.open('parent', o)
    await parent.send(said('Ada')).result
    const near = parent.fork('near')
    expect(summary(await near.send('Who am I?').result)).toEqual(usual)
    // The fork took nothing away.
    expect((await parent.send('Who are you?').result).usage.tokensReused).toBeGreaterThan(30)
    await cache.close()

    const later = await openCache(model, { folder: place.folder })
    const asleep = await later.cache.open('near', o)
    const far = asleep.fork()
    expect(far.id).toMatch(/^[0-9a-f-]{36}$/)
    expect((await far.send('Where?').result).usage.tokensReused).toBeGreaterThan(30)
    await later.heard('restored', far.id)
    expect(asleep.history).toHaveLength(4)
    await expectCode('ERR_OPTION_INVALID', () => far.fork('parent'))
    await later.cache.close()
    expect(place.files()).toHaveLength(3)
  })

  it('principals have conversations of their own under the same name', async () => {
    const { cache } = await openCache(model, { folder: place.folder })
    const ada = await cache.open('home', { ...options, principal: 'ada' })
    await ada.send(said('Ada')).result
    const bob = await cache.open('home', { ...options, principal: 'bob' })
    expect(bob).not.toBe(ada)
    expect((await bob.send(said('Ada')).result).usage.tokensReused).toBe(0)
    await expectCode('ERR_OPTION_INVALID', () => bob.send('x', { principal: 'ada' }))
    await cache.close()
    expect(place.files()).toHaveLength(2)
  })

  it('closing one takes it out of memory, and its next turn brings it back', async () => {
    const { cache, heard, events } = await openCache(model, { folder: place.folder })
    const chat = await cache.open('a', { ...options, principal: 'closed' })
    await chat.close() // nothing was said
    const first = await chat.send(said('Ada')).result
    await Promise.all([chat.close(), chat.close()])
    await heard('spilled', 'a')
    expect(cache.inMemory.conversations).toBe(0)
    const answer = chat.send('Who am I?')
    await expectCode('ERR_CHAT_BUSY', () => chat.close())
    const again = await answer.result
    await heard('restored', 'a')
    expect([summary(first), summary(again)]).toEqual(await asUsual(said('Ada'), 'Who am I?'))
    await cache.remove('a', { principal: 'closed' })
    await chat.close()
    expect(events.map(({ type }) => type)).toEqual(['spilled', 'restored'])
    await cache.close()
    await chat.close()
    expect(place.files()).toEqual([])
  })

  it('opening twice is the same conversation', async () => {
    const { cache } = await openCache(model, { folder: place.folder })
    const [one, two] = await Promise.all([cache.open('a', options), cache.open('a', options)])
    expect(one).toBe(two)
    expect(await cache.open('a')).toBe(one)
    await cache.close()
  })

  it('removing one deletes its file and lets go of its memory; who has it goes on without', async () => {
    const { cache } = await openCache(model, { folder: place.folder })
    const o = { ...options, principal: 'removed' }
    const chat = await cache.open('a', o)
    await chat.send(said('Ada')).result
    await chat.save()
    expect(place.files()).toHaveLength(1)
    await cache.remove('a', { principal: 'removed' })
    expect(place.files()).toHaveLength(0)
    expect(cache.inMemory.conversations).toBe(0)
    expect((await chat.send('Who am I?').result).usage.tokensReused).toBe(0)
    await chat.send('And who are you?').result
    expect(cache.inMemory.conversations).toBe(0)
    await expectCode('ERR_OPTION_INVALID', () => chat.save())
    expect((await cache.open('a', o)).history).toEqual([])
    await cache.close()
  })

  it('reset() forgets what was computed', async () => {
    const { cache } = await openCache(model, { folder: place.folder })
    const chat = await cache.open('a', { ...options, system: 'Be brief.', principal: 'reset' })
    await chat.send(said('Ada')).result
    await vi.waitFor(() => expect(cache.inMemory.conversations).toBe(1))
    chat.reset()
    await vi.waitFor(() => expect(cache.inMemory.conversations).toBe(0))
    expect((await chat.send(said('Bob')).result).usage.tokensReused).toBe(0)
    expect(chat.history).toHaveLength(3)
    await cache.close()
  })

  it('files are for their owner, under names that say nothing, and without a key anybody can read them', async () => {
    const { cache } = await openCache(model, { folder: join(place.folder, 'new') })
    const chat = await cache.open('medical records', options)
    await chat.send(said('Ada')).result
    await chat.save()
    await cache.close()
    const folder = join(place.folder, 'new')
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    const path = join(folder, readdirSync(folder)[0]!)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(path).toMatch(/\/[0-9a-f]{64}\.chat$/)
    expect(readFileSync(path).includes(said('Ada'))).toBe(true)
  })

  it('with a key neither words nor numbers are in the file, and no two files are alike', async () => {
    const key = randomBytes(32)
    const { cache } = await openCache(model, { folder: place.folder, key })
    const chat = await cache.open('a', options)
    await chat.send(said('Ada')).result
    await chat.save()
    const [path] = place.files()
    const one = readFileSync(path!)
    await chat.save()
    const two = readFileSync(path!)
    await cache.close()
    expect(one.includes('Ada')).toBe(false)
    expect(one.includes('harbour')).toBe(false)
    // Past the header, what two writings of the same say has nothing in common but by chance.
    const same = one.subarray(176).filter((byte, i) => byte === two[176 + i]).length
    expect(same / (one.length - 176)).toBeLessThan(0.02)
    expect(one.subarray(16, 60).equals(two.subarray(16, 60))).toBe(false)
    const again = await openCache(model, { folder: place.folder, key: new Uint8Array(key) })
    const opened = await again.cache.open('a', options)
    expect((await opened.send('Who am I?').result).usage.tokensReused).toBeGreaterThan(30)
    await again.cache.close()
  })

  it('what native code cannot keep for want of room goes to its file by itself', async () => {
    await using small = await loadModel(inject('models').tiny, { contextSize: 512 })
    const { cache, heard } = await openCache(small, { folder: place.folder, maxTokens: 500 })
    const chat = await cache.open('a', options)
    const { usage } = await chat.send(said('Ada')).result
    const crowd = Array.from({ length: 480 }, (_, i) => 30 + (i % 50))
    await small.complete(crowd, { maxTokens: 8, ignoreEos: true }).result
    const spilled = await heard('spilled', 'a')
    expect(spilled.tokens).toBe(usage.tokensPrompt + usage.tokensGenerated - 1)
    expect((await chat.send('Who am I?').result).usage.tokensReused).toBeGreaterThan(30)
    await heard('restored', 'a')
    await cache.close()
  })

  it('a turn that comes while its past is put aside goes on from it', async () => {
    await using small = await loadModel(inject('models').tiny, { contextSize: 512 })
    const { cache } = await openCache(small, { folder: place.folder, maxTokens: 500 })
    const chat = await cache.open('a', options)
    await chat.send(said('Ada')).result
    const crowd = Array.from({ length: 450 }, (_, i) => 30 + (i % 50))
    const [other, again] = await Promise.all([
      small.complete(crowd, { maxTokens: 40, ignoreEos: true }).result,
      chat.send('Who am I?').result,
    ])
    expect(other.usage.tokensGenerated).toBe(40)
    const [, usual] = await asUsual(said('Ada'), 'Who am I?')
    expect(summary(again)).toEqual(usual)
    await cache.close()
  })

  it('twenty of them in turn, more than stay, all answer as if they had never left', async () => {
    const { cache } = await openCache(model, { folder: place.folder, maxTokens: 300 })
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`)
    const chats = await Promise.all(names.map((name) => cache.open(name, options)))
    await Promise.all(chats.map((chat) => chat.send(said(chat.id)).result))
    const answers = await Promise.all(chats.map((chat) => chat.send('Who am I?').result))
    await cache.close()
    for (const [i, answer] of answers.entries()) {
      expect(answer.usage.tokensReused).toBeGreaterThan(30)
      if (i % 5 === 0)
        expect(answer.text).toBe((await asUsual(said(names[i]!), 'Who am I?'))[1]!.text)
    }
  })
})

describe('other models', () => {
  it('a recurrent one is saved and restored whole', async () => {
    const path = makeTinyModel(join(place.folder, 'mamba.gguf'), { kind: 'mamba' })
    await using model = await loadModel(path, { contextSize: 1024 })
    const folder = join(place.folder, 'chats')
    // A template whose every rendering begins with the one before: nothing can be taken back here.
    const template =
      '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}'
    const chatOptions = { ...options, template }
    const { cache } = await openCache(model, { folder })
    const chat = await cache.open('a', chatOptions)
    const first = await chat.send(said('Ada')).result
    await cache.close()
    const again = await openCache(model, { folder })
    const opened = await again.cache.open('a', chatOptions)
    const { usage, text } = await opened.send('Who am I?').result
    const plain = model.chat({ ...chatOptions, reusePrefix: false })
    await plain.send(said('Ada')).result
    const expected = await plain.send('Who am I?').result
    expect(text).toBe(expected.text)
    const whole = first.usage.tokensPrompt + first.usage.tokensGenerated - 1
    // Where the answer's text makes other tokens than it was made of, nothing of it can be used.
    expect([0, whole]).toContain(usage.tokensReused)
    expect(again.events.map(({ type }) => type)).toContain('restored')
    await again.cache.close()
  })

  it.each(['bf16', 'f32'] as const)('keys and values of type %s come back', async (cacheType) => {
    await using model = await loadModel(inject('models').tiny, {
      contextSize: 512,
      cacheType,
      flashAttention: true,
    })
    const { cache } = await openCache(model, { folder: place.folder, maxTokens: 0 })
    const chat = await cache.open('a', options)
    await chat.send(said('Ada')).result
    expect((await chat.send('Who am I?').result).usage.tokensReused).toBeGreaterThan(30)
    await cache.close()
  })

  it('so do transposed values, where there is no flash attention', async () => {
    await using model = await loadModel(inject('models').tiny, {
      contextSize: 512,
      flashAttention: false,
    })
    const { cache, heard } = await openCache(model, { folder: place.folder, maxTokens: 0 })
    const chat = await cache.open('a', options)
    await chat.send(said('Ada')).result
    await heard('spilled', 'a')
    expect((await chat.send('Who am I?').result).usage.tokensReused).toBeGreaterThan(30)
    await heard('restored', 'a')
    await cache.close()
  })
})

describe('options', () => {
  it('that make no sense are refused, and a key is never in the message', async () => {
    await using model = await loadModel(inject('models').tiny)
    const secret = 'correct horse battery staple 1234'
    for (const key of [secret, randomBytes(16), 7, Buffer.from(secret)]) {
      const error = await expectCode('ERR_OPTION_INVALID', () =>
        openCache(model, { key: key as never }),
      )
      expect(error.message).not.toMatch(/horse|7/)
    }
    await expectCode('ERR_OPTION_UNKNOWN', () => openCache(model, { foldre: 'x' } as never))
    await expectCode('ERR_OPTION_INVALID', () => openCache(model, { maxTokens: -1 }))
    const { cache } = await openCache(model)
    await expectCode('ERR_OPTION_INVALID', () => cache.open(''))
    await expectCode('ERR_OPTION_INVALID', async () => (await cache.open('a')).save())
    await cache.close()
    await using forgetful = await loadModel(inject('models').tiny, { prefixCache: false })
    await expectCode('ERR_OPTION_INVALID', () => openCache(forgetful))
  })
})
