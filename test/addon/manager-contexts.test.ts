// Conversations of a manager: what becomes of words, and of what was computed of them, when the model under them changes.

import { chmodSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type ChatOptions,
  type KeptChat,
  type ManagedContextEvent,
  type ManagedContextOptions,
  ModelManager,
} from '../../lib/index.js'
import { makeFolder } from '../helpers/chat-folder.js'
import { expectCode } from '../helpers/expect-code.js'
import { greedy, swapModels } from '../helpers/swap-models.js'

const { one, two } = swapModels()
const o: ChatOptions = { ...greedy, maxTokens: 12 }
const load = { contextSize: 2048 }
const hello = 'My name is Ada and I keep a boat in the harbour.'

let place: ReturnType<typeof makeFolder>
let managers: ModelManager[]
let events: ManagedContextEvent[]
beforeEach(() => {
  place = makeFolder()
  managers = []
  events = []
})
afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.close()))
  place.remove()
})

async function start(contexts?: ManagedContextOptions, more: object = {}): Promise<ModelManager> {
  const manager = new ModelManager({
    contexts: { folder: place.folder, ...contexts, onEvent: (event) => events.push(event) },
  })
  managers.push(manager)
  await manager.load('chat', one, { ...load, ...more })
  return manager
}

const inMemory = async () => {
  const manager = new ModelManager({ contexts: { onEvent: (event) => events.push(event) } })
  managers.push(manager)
  await manager.load('chat', one, load)
  return manager
}

const turn = async (chat: KeptChat, word: string, options?: ChatOptions) => {
  const { text, usage } = await chat.send(word, options).result
  return { text, reused: usage.tokensReused }
}

/** What a chat says, on one model after the other, that nobody keeps. */
async function usual(...turns: [path: string, word: string][]): Promise<string[]> {
  const manager = new ModelManager()
  managers.push(manager)
  await manager.load('x', turns[0]![0], load)
  const chat = manager.chat('x', o)
  const texts: string[] = []
  for (const [path, word] of turns) {
    if (manager.list()[0]!.source !== path) await manager.swap('x', path, load)
    texts.push(await chat.send(word).text())
  }
  return texts
}

const types = () => events.map(({ type, id }) => `${type} ${id}`)

/** An answer in the middle of which something happens. */
async function inTheMiddle(chat: KeptChat, then: () => Promise<unknown>) {
  const stream = chat.send(hello, { maxTokens: 400 })
  const iterator = stream[Symbol.asyncIterator]()
  await iterator.next()
  const happening = then()
  return { stream, iterator, happening }
}

describe('a conversation of a manager', () => {
  it('is opened, talked with, put away, and comes back with what was computed', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', { ...o, system: 'Be brief.' })
    const first = await turn(chat, hello)
    await chat.close()
    await chat.close()
    expect(types()).toEqual(['spilled ada'])
    expect(await manager.openChat('ada', o)).toBe(chat)
    const second = await turn(chat, 'Who am I?')
    expect(second.reused).toBeGreaterThan(20)
    expect(types()).toEqual(['spilled ada', 'restored ada'])
    expect(events[0]).toMatchObject({ name: 'chat', id: 'ada', principal: '' })
    expect(chat.history.map(({ role }) => role)).toEqual(
      ['system', 'user', 'assistant', 'user', 'assistant'], // biome-ignore format: one line
    )
    expect(chat.history[2]).toMatchObject({ content: first.text })
  })

  it('comes back after a restart, whole, and goes on where it was', async () => {
    const before = await start()
    const chat = await before.openChat('chat', 'ada', o)
    const first = await turn(chat, hello)
    await before.close()
    const after = await start()
    const again = await after.openChat('chat', 'ada', { ...o, system: 'Not this one.' })
    expect(again.history).toEqual(chat.history)
    const second = await turn(again, 'Who am I?')
    expect(second.reused).toBeGreaterThan(20)
    expect([first.text, second.text]).toEqual(await usual([one, hello], [one, 'Who am I?']))
  })

  it('keeps its words through a swap to other weights and computes them again; back, the same', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    const first = await turn(chat, hello)
    await manager.swap('chat', two, load)
    const second = await turn(chat, 'Who am I?')
    expect(second.reused).toBe(0)
    await manager.swap('chat', one, load)
    const third = await turn(chat, 'Where?')
    expect(third.reused).toBe(0)
    expect([first.text, second.text, third.text]).toEqual(
      await usual([one, hello], [two, 'Who am I?'], [one, 'Where?']),
    )
    expect(chat.history).toHaveLength(6)
    expect(place.files()).toHaveLength(1)
  })

  it('that was not talked with meanwhile is restored when the name turns back', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    await turn(chat, hello)
    await (await manager.swap('chat', two, load)).drained
    expect(types()).toEqual(['spilled ada'])
    await (await manager.swap('chat', one, load)).drained
    const { text, reused } = await turn(chat, 'Who am I?')
    expect(reused).toBeGreaterThan(20)
    expect(text).toBe((await usual([one, hello], [one, 'Who am I?']))[1])
    expect(types()).toEqual(['spilled ada', 'restored ada'])
  })

  it('takes what was computed to the same weights with other options, at once after the swap', async () => {
    const manager = await start()
    const chats = await Promise.all(['a', 'b', 'c'].map((id) => manager.openChat('chat', id, o)))
    for (const chat of chats) await turn(chat, hello)
    await manager.swap('chat', one, { contextSize: 1024 })
    // The old model is still writing: the new one waits for the file.
    const answers = await Promise.all(chats.map((chat) => turn(chat, 'Who am I?')))
    const [, expected] = await usual([one, hello], [one, 'Who am I?'])
    for (const { text, reused } of answers) {
      expect(text).toBe(expected)
      expect(reused).toBeGreaterThan(20)
    }
  })

  it('ends its answer on the old model, and has its next turn on the new one', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    const { stream, happening } = await inTheMiddle(chat, () => manager.swap('chat', two, load))
    const { drained } = (await happening) as { drained: Promise<void> }
    await expectCode('ERR_CHAT_BUSY', () => chat.send('Too early'))
    await expectCode('ERR_CHAT_BUSY', () => chat.save())
    await expectCode('ERR_CHAT_BUSY', () => chat.close())
    const first = await stream.result
    expect(first.usage.tokensGenerated).toBe(400)
    const second = chat.send('Who am I?')
    await drained
    expect((await second.result).usage.tokensReused).toBe(0)
    expect(chat.history).toHaveLength(4)
    expect(chat.history[1]).toMatchObject({ content: first.text })
    await chat.close()
    expect(types().filter((type) => type === 'spilled ada')).toHaveLength(2)
  })

  it('leaves with its model when that is idle, and comes back with it on demand', async () => {
    const manager = await start({}, { idleTimeout: 1 })
    const chat = await manager.openChat('chat', 'ada', o)
    const texts = [(await turn(chat, hello)).text]
    await vi.waitFor(() => expect(manager.list()[0]!.state).toBe('unloaded'))
    expect(types()).toEqual(['spilled ada'])
    const second = await turn(chat, 'Who am I?')
    expect(second.reused).toBeGreaterThan(20)
    texts.push(second.text)
    expect(texts).toEqual(await usual([one, hello], [one, 'Who am I?']))
  })

  it('is another for every principal, and under every name of a model', async () => {
    const manager = await start()
    await manager.load('other', one, load)
    const opened = await Promise.all([
      manager.openChat('chat', 'home', { ...o, principal: 'ada' }),
      manager.openChat('chat', 'home', { ...o, principal: 'bob' }),
      manager.openChat('other', 'home', { ...o, principal: 'ada' }),
    ])
    expect(new Set(opened).size).toBe(3)
    for (const [i, chat] of opened.entries())
      expect((await turn(chat, `${hello} ${i}`)).reused).toBe(0)
    await expectCode('ERR_OPTION_INVALID', () => opened[1]!.send('x', { principal: 'ada' }))
    await manager.close()
    expect(place.files()).toHaveLength(3)
    const again = await start()
    await again.load('other', one, load)
    const bob = await again.openChat('chat', 'home', { ...o, principal: 'bob' })
    expect(bob.history).toEqual(opened[1]!.history)
    expect((await again.openChat('other', 'home', { principal: 'bob' })).history).toEqual([])
  })

  it('is written by close() of the manager, also one that is on its way to the folder then', async () => {
    const manager = await start({ maxTokens: 0 })
    const chats = await Promise.all(['a', 'b'].map((id) => manager.openChat('chat', id, o)))
    await Promise.all(chats.map((chat) => turn(chat, hello)))
    await Promise.all([manager.close(), manager.close()])
    for (const chat of chats) {
      await expectCode('ERR_MANAGER_CLOSED', () => chat.send('x'))
      await expectCode('ERR_MANAGER_CLOSED', () => chat.save())
      await expectCode('ERR_MANAGER_CLOSED', () => chat.fork())
      await chat.close()
    }
    expect(place.files().filter((path) => path.endsWith('.chat'))).toHaveLength(2)
    const after = await start()
    for (const { id, history } of chats) {
      const again = await after.openChat('chat', id, o)
      expect(again.history).toEqual(history)
      expect((await turn(again, 'Who am I?')).reused).toBeGreaterThan(20)
    }
  })

  it('whose answer close() cuts keeps what was said before', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    await turn(chat, hello)
    const said = chat.history
    const stream = chat.send('Go on', { maxTokens: 1500 })
    await stream[Symbol.asyncIterator]().next()
    await Promise.all([manager.close(), expectCode('ERR_MODEL_CLOSED', () => stream.result)])
    expect(chat.history).toEqual(said)
    const after = await start()
    const again = await after.openChat('chat', 'ada', o)
    expect(again.history).toEqual(said)
    expect((await turn(again, 'Who am I?')).text).toBe(
      (await usual([one, hello], [one, 'Who am I?']))[1],
    )
  })

  it('whose answer unload() cuts has what was said before in the folder', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    await turn(chat, hello)
    const stream = chat.send('Go on', { maxTokens: 1500 })
    await stream[Symbol.asyncIterator]().next()
    const cut = expectCode('ERR_MODEL_CLOSED', () => stream.result)
    await Promise.all([manager.unload('chat', { drain: false }), cut])
    await chat.close()
    const again = await (await start()).openChat('chat', 'ada', o)
    expect(again.history).toEqual(chat.history)
    expect(again.history).toHaveLength(2)
    await manager.load('chat', one, load)
    expect((await turn(chat, 'Who am I?')).text).toBe(
      (await usual([one, hello], [one, 'Who am I?']))[1],
    )
  })

  it('forks: on the model, after a swap, and from the file', async () => {
    const manager = await start()
    const parent = await manager.openChat('chat', 'parent', o)
    await turn(parent, hello)
    const near = parent.fork('near')
    const [, expected] = await usual([one, hello], [one, 'Who am I?'])
    expect(await turn(near, 'Who am I?')).toEqual({ text: expected, reused: expect.any(Number) })
    expect((await turn(parent, 'Who are you?')).reused).toBeGreaterThan(20)
    await expectCode('ERR_OPTION_INVALID', () => parent.fork('near'))
    const silent = near.fork('silent')
    await manager.swap('chat', one, { contextSize: 1024 })
    const far = near.fork('far')
    expect(far.history).toHaveLength(4)
    const { reused } = await turn(far, 'Where?')
    expect(reused).toBeGreaterThan(40)
    await manager.close()
    const after = await start()
    const asleep = await after.openChat('chat', 'far', o)
    expect((await turn(asleep.fork(), 'When?')).reused).toBeGreaterThan(reused)
    expect((await after.openChat('chat', 'silent')).history).toEqual(silent.history)
    await expectCode('ERR_OPTION_INVALID', () => asleep.fork('near'))
  })

  it('begins with a template, and with its own words once it has some', async () => {
    const manager = await start()
    await manager.templates.add('clerk', { system: 'You are the clerk of a small harbour.' })
    const chat = await manager.openChat('chat', 'ada', { ...o, promptTemplate: 'clerk' })
    expect((await turn(chat, 'Is there room?')).reused).toBeGreaterThan(5)
    await expectCode('ERR_NAME_UNKNOWN', () =>
      manager.openChat('chat', 'bob', { promptTemplate: 'clark' }),
    )
    await manager.close()
    const after = await start()
    await after.templates.add('clerk', { system: 'You are somebody else.' })
    const again = await after.openChat('chat', 'ada', { ...o, promptTemplate: 'clerk' })
    expect(again.history).toEqual(chat.history)
  })

  it('is saved without leaving memory, and forgets what was said after reset()', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', { ...o, system: 'Be brief.' })
    await turn(chat, hello)
    await chat.save()
    expect(types()).toEqual(['saved ada'])
    expect((await turn(chat, 'Who am I?')).reused).toBeGreaterThan(20)
    chat.reset()
    await manager.close()
    const again = await (await start()).openChat('chat', 'ada', o)
    expect(again.history).toEqual([{ role: 'system', content: 'Be brief.' }])
  })

  it('has its words on a model that keeps nothing, and in the folder', async () => {
    const manager = await start({}, { prefixCache: false })
    const chat = await manager.openChat('chat', 'ada', o)
    const first = await turn(chat, hello)
    expect(await turn(chat, 'Who am I?')).toMatchObject({ reused: 0 })
    await chat.save()
    await turn(chat, 'Where?')
    await manager.close()
    const again = await (await start()).openChat('chat', 'ada', o)
    expect(again.history).toEqual(chat.history)
    expect(again.history[1]).toMatchObject({ content: first.text })
    await turn(again, 'When?')
    expect(types()).not.toContain('refused ada')
  })

  it('keeps its words where the folder takes no files, and says what was dropped', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    const texts = [(await turn(chat, hello)).text]
    place.remove()
    await (await manager.swap('chat', one, { contextSize: 1024 })).drained
    expect(events.find(({ type }) => type === 'dropped')?.error?.code).toBe('ERR_DISK')
    await expectCode('ERR_DISK', () => chat.save())
    const second = await turn(chat, 'Who am I?')
    expect(second.reused).toBe(0)
    texts.push(second.text)
    expect(texts).toEqual(await usual([one, hello], [one, 'Who am I?']))
  })
})

describe('without a folder', () => {
  it('words last as long as the manager, what was computed as long as the model', async () => {
    const manager = await inMemory()
    {
      const chat = await manager.openChat('ada', o)
      await turn(chat, hello)
      expect((await turn(chat, 'Who am I?')).reused).toBeGreaterThan(20)
      await expectCode('ERR_OPTION_INVALID', () => chat.save())
    }
    await (await manager.swap('chat', one, { contextSize: 1024 })).drained
    expect(types()).toEqual(['dropped ada'])
    const again = await manager.openChat('ada')
    expect(again.history).toHaveLength(4)
    const third = await turn(again, 'Where?', o)
    expect(third.reused).toBe(0)
    expect(third.text).toBe((await usual([one, hello], [one, 'Who am I?'], [one, 'Where?']))[2])
    await manager.unload('chat')
    await manager.load('chat', two, load)
    expect((await manager.openChat('chat', 'ada')).history).toHaveLength(6)
  })
})

describe('what cannot be opened', () => {
  it('is said by code: no contexts, no such name, several of them, no id, wrong options', async () => {
    const plain = new ModelManager()
    managers.push(plain)
    await plain.load('chat', one, load)
    const error = await expectCode('ERR_OPTION_INVALID', () => plain.openChat('chat', 'ada'))
    expect(error.message).toContain('contexts')
    const manager = await start()
    await expectCode('ERR_NAME_UNKNOWN', () => manager.openChat('chta', 'ada'))
    await expectCode('ERR_OPTION_INVALID', () => manager.openChat('chat', ''))
    await expectCode('ERR_OPTION_INVALID', () => manager.openChat(''))
    await expectCode('ERR_OPTION_UNKNOWN', () => manager.openChat('ada', { sytem: 'x' } as never))
    await manager.load('other', two, load)
    const several = await expectCode('ERR_NAME_UNKNOWN', () => manager.openChat('ada'))
    expect(several.message).toContain('chat, other')
    const chat = await manager.openChat('other', 'ada', o)
    await manager.unload('other')
    await expectCode('ERR_NAME_UNKNOWN', () => chat.send('x'))
    await manager.close()
    await expectCode('ERR_MANAGER_CLOSED', () => manager.openChat('chat', 'ada'))
    await expectCode('ERR_OPTION_INVALID', () => new ModelManager({ contexts: 1 as never }))
    const named = await expectCode(
      'ERR_OPTION_UNKNOWN',
      () => new ModelManager({ contexts: { foldr: 'x' } as never }),
    )
    expect(named.message).toContain('options.contexts')
    await expectCode(
      'ERR_OPTION_INVALID',
      () => new ModelManager({ contexts: { key: new Uint8Array(3) } }),
    )
  })

  it('is no reason not to try again: a folder that others may write to', async () => {
    const manager = await start()
    chmodSync(place.folder, 0o777)
    await expectCode('ERR_OPTION_INVALID', () => manager.openChat('ada'))
    chmodSync(place.folder, 0o700)
    await manager.openChat('ada')
  })

  it('is opened once: calls at the same time, and one during close()', async () => {
    const manager = await start()
    const [a, b] = await Promise.all([manager.openChat('ada'), manager.openChat('chat', 'ada')])
    expect(a).toBe(b)
    const late = manager.openChat('bob')
    await Promise.all([manager.close(), expectCode('ERR_MANAGER_CLOSED', () => late)])
  })

  it('is removed: its file, what was computed, and what its owner says later; nobody else is', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    await turn(chat, hello)
    await chat.save()
    const other = await manager.openChat('chat', 'ada', { ...o, principal: 'bob' })
    await turn(other, hello)
    await other.close()
    expect(place.files()).toHaveLength(2)
    await manager.removeChat('chat', 'ada')
    expect(place.files()).toHaveLength(1)

    const said = chat.history.length
    await turn(chat, 'Who am I?')
    expect(chat.history).toHaveLength(said + 2)
    await expectCode('ERR_OPTION_INVALID', () => chat.save())
    await chat.close()
    const anew = await manager.openChat('chat', 'ada', o)
    expect(anew).not.toBe(chat)
    expect(anew.history).toEqual([])
    await manager.close()
    expect(place.files()).toHaveLength(1)
  })

  it('is removed in the middle of an answer, which goes on, and while it is written', async () => {
    const manager = await start()
    const chat = await manager.openChat('chat', 'ada', o)
    const { stream, happening } = await inTheMiddle(chat, () => manager.removeChat('chat', 'ada'))
    await happening
    expect((await stream.result).finishReason).toBe('length')
    const busy = await manager.openChat('chat', 'bob', o)
    await turn(busy, hello)
    const leaving = busy.close()
    await Promise.all([
      manager.removeChat('chat', 'bob'),
      manager.removeChat('chat', 'bob'),
      leaving,
    ])
    await manager.openChat('chat', 'bob', o)
    await manager.close()
    expect(place.files()).toEqual([])
  })

  it('is removed after its model, and over a restart; what is not there is no error', async () => {
    const before = await start()
    await turn(await before.openChat('chat', 'ada', o), hello)
    await before.close()
    expect(place.files()).toHaveLength(1)
    const manager = await start()
    await manager.unload('chat')
    await manager.removeChat('chat', 'bob')
    await manager.removeChat('chat', 'ada')
    expect(place.files()).toEqual([])
    await expectCode('ERR_OPTION_INVALID', () => manager.removeChat('chat', ''))
    await expectCode('ERR_OPTION_INVALID', () => manager.removeChat(7 as never, 'ada'))
    await expectCode('ERR_OPTION_UNKNOWN', () =>
      manager.removeChat('chat', 'ada', { owner: 'x' } as object),
    )
    await manager.close()
    await expectCode('ERR_MANAGER_CLOSED', () => manager.removeChat('chat', 'ada'))
  })
})
