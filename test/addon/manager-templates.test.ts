import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { ModelManager, type PromptTemplate } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'
import { greedy, swapModels } from '../helpers/swap-models.js'

const { one, two } = swapModels()
const short = { ...greedy, maxTokens: 8 }
const support: PromptTemplate = {
  system: 'You answer questions of sailors, briefly and without jargon.',
  messages: [
    { role: 'user', content: 'What is a jib?' },
    { role: 'assistant', content: 'A sail before the mast.' },
  ],
}

let manager: ModelManager
beforeEach(() => {
  manager = new ModelManager()
})
afterEach(() => manager.close())

const pinned = () => manager.templates.list()[0]!.pinned

/** Tokens of the first turn of a chat that begins with the template, and how many of them were there already. */
async function firstTurn(principal = '') {
  const chat = manager.chat('chat', { promptTemplate: 'support', principal })
  const { usage } = await chat.send('What is a boom?', short).result
  expect(chat.history.slice(0, 3)).toEqual([
    { role: 'system', content: support.system },
    ...support.messages!,
  ])
  return usage
}

it('a template is computed before anybody uses it, for every principal', async () => {
  await manager.load('chat', one)
  await manager.templates.add('support', support)
  const { chat } = pinned()
  expect(chat).toBeGreaterThan(20)
  for (const principal of ['', 'ada', 'bob'])
    expect((await firstTurn(principal)).tokensReused).toBe(chat)
})

it('a model that is loaded or swapped to later knows it before the name turns to it', async () => {
  await manager.templates.add('support', support)
  await manager.load('chat', one)
  const before = pinned()['chat']
  expect((await firstTurn()).tokensReused).toBe(before)
  let atSwitch: Record<string, number> | undefined
  manager.on('switched', () => {
    atSwitch = pinned()
  })
  await manager.swap('chat', two)
  expect(atSwitch).toEqual({ chat: before })
  expect((await firstTurn()).tokensReused).toBe(before)
})

it('a conversation that has begun with it goes on over a swap, with the same beginning', async () => {
  await manager.templates.add('support', support)
  await manager.load('chat', one)
  const chat = manager.chat('chat', { promptTemplate: 'support' })
  await chat.send('What is a boom?', short).result
  await manager.swap('chat', two)
  const { usage } = await chat.send('And a mast?', short).result
  expect(usage.tokensReused).toBeGreaterThanOrEqual(pinned()['chat']!)
})

it('is only for the names that it says', async () => {
  await manager.templates.add('support', { ...support, names: ['other'] })
  await manager.load('chat', one)
  await manager.load('other', two)
  expect(Object.keys(pinned())).toEqual(['other'])
  expect(manager.templates.list()).toEqual([
    { name: 'support', ...support, names: ['other'], pinned: expect.anything() },
  ])
})

it('passes over a model that cannot chat, unless it is told not to', async () => {
  await manager.load('vectors', inject('models').bert)
  await manager.load('plain', inject('models').untemplated)
  await manager.templates.add('support', support)
  expect(pinned()).toEqual({})
  await expectCode('ERR_TEMPLATE_MISSING', () =>
    manager.templates.add('bound', { ...support, names: ['plain'] }),
  )
  expect(manager.templates.list().map(({ name }) => name)).toEqual(['support'])
})

it('that has no room fails, and is not known then; a swap to a model without room for it fails too', async () => {
  await manager.load('chat', one)
  const system = 'word '.repeat(200)
  await manager.templates.add('long', { system })
  await expectCode('ERR_CONTEXT_FULL', () => manager.swap('chat', two, { contextSize: 256 }))
  expect(manager.list()[0]!.source).toBe(one)
  manager.templates.remove('long')
  await manager.swap('chat', two, { contextSize: 256 })
  await expectCode('ERR_CONTEXT_FULL', () => manager.templates.add('long', { system }))
  expect(manager.templates.list()).toEqual([])
})

it('removed ones give their room back and are not computed any more, also in the middle of a swap', async () => {
  await manager.load('chat', one)
  await manager.templates.add('support', support)
  expect(manager.templates.remove('support')).toBe(true)
  expect(manager.templates.remove('support')).toBe(false)
  await expectCode('ERR_NAME_UNKNOWN', () => manager.chat('chat', { promptTemplate: 'support' }))
  await manager.templates.add('support', support)
  manager.once('warming', () => manager.templates.remove('support'))
  await manager.swap('chat', two)
  await manager.templates.add('support', support)
  expect(pinned()).toEqual({ chat: expect.any(Number) })
})

it('added in the middle of a swap is there when add() resolves', async () => {
  await manager.load('chat', one)
  const swap = manager.swap('chat', two)
  await manager.templates.add('support', support)
  await swap
  expect(Object.keys(pinned())).toEqual(['chat'])
  expect(manager.list()[0]!.source).toBe(two)
})

it('says what is wrong with a template or its use', async () => {
  await manager.load('chat', one)
  await expectCode('ERR_OPTION_INVALID', () => manager.templates.add('', support))
  await expectCode('ERR_OPTION_INVALID', () => manager.templates.add('x', null as never))
  await expectCode('ERR_OPTION_INVALID', () => manager.templates.add('x', { names: [1] } as never))
  await expectCode('ERR_OPTION_UNKNOWN', () => manager.templates.add('x', { sytem: 'x' } as never))
  await expectCode('ERR_TEMPLATE_INVALID', () =>
    manager.templates.add('x', { messages: [{ role: 'god' }] } as never),
  )
  await manager.templates.add('support', support)
  await expectCode('ERR_NAME_TAKEN', () => manager.templates.add('support', support))
  await expectCode('ERR_OPTION_INVALID', () =>
    manager.chat('chat', { promptTemplate: 'support', system: 'x' }),
  )
  await expectCode('ERR_OPTION_UNKNOWN', () =>
    manager.chat('chat', { promptTemplate: 'support', maxTokns: 1 } as never),
  )
})
