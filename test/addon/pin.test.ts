// Prefixes that are computed once and stay: what finds them, what they cost, and what ends them. What a chat found is said by
// usage.tokensReused.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { loadModel, type Model, type SottoError } from '../../lib/index.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { expectCode } from '../helpers/expect-code.js'

const system =
  'You are the clerk of a small harbour. Answer in one sentence, name the pier, and never promise a berth.'
const examples = [
  { role: 'user' as const, content: 'Is there room for a sloop?' },
  { role: 'assistant' as const, content: 'Pier two may have room; ask the harbour master.' },
]
const greedy = { temperature: 0, maxTokens: 12 }

/** So many tokens of a system prompt. */
const long = (words: number) => Array.from({ length: words }, (_, i) => `rule ${i}`).join(', ')

describe('a pinned prefix on the real model', () => {
  let model: Model
  beforeAll(async () => {
    model = await loadModel(inject('models').real, { contextSize: 1024 })
  })
  afterAll(() => model.close())

  it.each(['Hi', ' Hi', '\nHi', '7', '日本', '🙂', '"quoted"', '<|im_end|>', '...'])(
    'is found whole by a chat whose user says %j, with the answer of a chat that finds nothing',
    async (said) => {
      using pinned = await model.pin({ system, messages: examples })
      const chat = () => model.chat({ system, messages: examples, ...greedy, principal: said })
      const alone = await chat().send(said, { reusePrefix: false }).result
      const found = await chat().send(said).result
      expect(alone.usage.tokensReused).toBe(0)
      expect(found.usage.tokensReused).toBe(pinned.tokens)
      expect(found.timings.tokensReused).toBe(pinned.tokens)
      expect(found.text).toBe(alone.text)
    },
  )

  it('holds the whole of the system prompt and the examples', async () => {
    using pinned = await model.pin({ system, messages: examples })
    const text = await model.applyTemplate([{ role: 'system', content: system }, ...examples], {
      addGenerationPrompt: false,
    })
    const tokens = await model.countTokens(text, { parseSpecial: true })
    expect(pinned.tokens).toBeGreaterThanOrEqual(tokens - 1)
  })

  it('is everybody’s, while what is said behind it stays its principal’s', async () => {
    using pinned = await model.pin({ system })
    const ask = async (principal: string) =>
      (await model.chat({ system, ...greedy, principal }).send('Which pier has water?').result)
        .usage
    const first = await ask('one')
    const again = await ask('one')
    const other = await ask('two')
    expect(first.tokensReused).toBe(pinned.tokens)
    expect(again.tokensReused).toBeGreaterThan(pinned.tokens)
    expect(other.tokensReused).toBe(pinned.tokens)
  })

  it('two that begin alike share that, and closing one leaves the other', async () => {
    const short = await model.pin({ system })
    using longer = await model.pin({ system, messages: examples })
    short.close()
    const { usage } = await model
      .chat({ system, messages: examples, ...greedy, principal: 'both' })
      .send('Hi').result
    expect(usage.tokensReused).toBe(longer.tokens)
  })

  it('closing it under a conversation changes no answer, and what is asked afterwards computes it again', async () => {
    const expected = await model.chat({ system, ...greedy, reusePrefix: false }).send('Hi').result
    const pinned = await model.pin({ system })
    const stream = model.chat({ system, ...greedy, principal: 'during' }).send('Hi')
    for await (const _ of stream) pinned.close()
    expect((await stream.result).text).toBe(expected.text)
    pinned.close()
    const { usage } = await model.chat({ system, ...greedy, principal: 'after' }).send('Hi').result
    expect(usage.tokensReused).toBe(0)
  })

  it('is not used with reusePrefix: false', async () => {
    using _ = await model.pin({ system })
    const { usage } = await model.chat({ system, ...greedy, reusePrefix: false }).send('Hi').result
    expect(usage.tokensReused).toBe(0)
  })

  it('with tools and a template of the caller', async () => {
    const tools = [{ name: 'berth', description: 'Looks for a berth.' }]
    const template =
      '{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}'
    using pinned = await model.pin({ system, tools, template })
    const { usage } = await model
      .chat({ system, tools, template, ...greedy, principal: 'tools' })
      .send('Hi').result
    expect(usage.tokensReused).toBe(pinned.tokens)
    expect(pinned.tokens).toBeGreaterThan(40)
  })

  it('aborted before and while it is computed it is ERR_ABORTED, and nothing stays pinned', async () => {
    const reason = new Error('enough')
    await expectCode('ERR_ABORTED', () => model.pin({ system, signal: AbortSignal.abort(reason) }))
    const controller = new AbortController()
    const pinning = model.pin({ system: long(100), signal: controller.signal })
    controller.abort(reason)
    const error = await pinning.then(
      () => undefined,
      (error: SottoError) => error,
    )
    expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: reason })
    const { usage } = await model
      .chat({ system: long(100), ...greedy, principal: 'aborted' })
      .send('Hi').result
    expect(usage.tokensReused).toBe(0)
  })
})

describe('room', () => {
  it('a prefix that leaves less than an eighth of the context is ERR_CONTEXT_FULL with its numbers', async () => {
    await using model = await loadModel(inject('models').tiny, { contextSize: 512 })
    const error = await expectCode('ERR_CONTEXT_FULL', () => model.pin({ system: long(100) }))
    expect(error.message).toMatch(
      /at most 448 of the 512 tokens .* received a prefix of (\d+) with which \1 would be/,
    )
    using first = await model.pin({ system: long(40) })
    const second = await expectCode('ERR_CONTEXT_FULL', () =>
      model.pin({ system: `other ${long(40)}` }),
    )
    expect(second.message).toContain(`would be`)
    expect(first.tokens).toBeLessThanOrEqual(448)
    await model.chat({ system: long(40), ...greedy }).send('Hi').result
  })

  it('a prompt that would need pinned room is ERR_PROMPT_TOO_LONG with its numbers, until the pin is closed', async () => {
    await using model = await loadModel(inject('models').tiny, { contextSize: 512 })
    const pinned = await model.pin({ system: long(40) })
    const prompt = Array.from({ length: 400 }, (_, i) => 30 + (i % 50))
    const ask = () => model.complete(prompt, { maxTokens: 1 }).result
    const error = await expectCode('ERR_PROMPT_TOO_LONG', ask)
    expect(error.message).toContain(
      `fewer than ${512 - pinned.tokens} tokens beside the ${pinned.tokens} of 512 that are pinned, received 400`,
    )
    pinned.close()
    await ask()
  })

  it('more of them than sequences can be kept are ERR_CONTEXT_FULL, and the model still answers', async () => {
    await using model = await loadModel(inject('models').tiny, { contextSize: 4096 })
    const pins = await Promise.all(
      Array.from({ length: 24 }, (_, i) => model.pin({ system: `prefix ${i}` })),
    )
    await expectCode('ERR_CONTEXT_FULL', () => model.pin({ system: 'one more' }))
    const answers = Array.from(
      { length: 16 },
      (_, i) =>
        model.chat({ system: `prefix ${i}`, ...greedy, principal: `${i}` }).send('Hi').result,
    )
    const reused = (await Promise.all(answers)).map(({ usage }) => usage.tokensReused)
    expect(reused).toEqual(pins.slice(0, 16).map(({ tokens }) => tokens))
    pins[0]!.close()
    using _ = await model.pin({ system: 'one more' })
  })

  it('stays when everything else is forgotten for want of room', async () => {
    await using model = await loadModel(inject('models').tiny, { contextSize: 512 })
    using pinned = await model.pin({ system })
    for (let i = 0; i < 6; i++) {
      const prompt = Array.from({ length: 300 }, (_, at) => 30 + ((i * at) % 50))
      await model.complete(prompt, { ...greedy, principal: `crowd ${i}` }).result
    }
    const { usage } = await model.chat({ system, ...greedy, principal: 'late' }).send('Hi').result
    expect(usage.tokensReused).toBe(pinned.tokens)
  })

  it('an answer that shifts its context leaves what is pinned as it was', async () => {
    await using model = await loadModel(inject('models').tiny, { contextSize: 256 })
    const ask = (principal: string) =>
      model.chat({ system, ...greedy, principal }).send('Hi').result
    using pinned = await model.pin({ system })
    const before = await ask('before')
    const shifted = await model
      .chat({ system, temperature: 0, maxTokens: 600, ignoreEos: true, overflow: 'shift' })
      .send('Hi').result
    expect(shifted.finishReason).toBe('length')
    const after = await ask('after')
    expect(after.usage.tokensReused).toBe(pinned.tokens)
    expect(after.text).toBe(before.text)
  })
})

describe('beside other ways to be fast', () => {
  it('a recurrent model continues a copy of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sotto-pin-'))
    try {
      const path = makeTinyModel(join(folder, 'mamba.gguf'), { kind: 'mamba' })
      await using model = await loadModel(path, { contextSize: 1024 })
      expect(model.info.recurrent).toBe(true)
      const template = '{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}'
      const ask = (said: string, reusePrefix = true) =>
        model
          .chat({ system, template, ...greedy, principal: said, reusePrefix, ignoreEos: true })
          .send(said).result
      const alone = await ask('Hi', false)
      using pinned = await model.pin({ system, template })
      // A second one ends within what the chats go on with.
      using _ = await model.pin({ system, template, messages: examples })
      const answers = await Promise.all([ask('Hi'), ask('Is there a gale?'), ask('Is it calm?')])
      for (const { usage } of answers) expect(usage.tokensReused).toBe(pinned.tokens)
      expect(answers[0]!.text).toBe(alone.text)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('a draft model and speculation give the same answer', async () => {
    await using model = await loadModel(inject('models').tiny, {
      contextSize: 512,
      draft: inject('models').tiny,
      speculation: true,
    })
    const ask = (reusePrefix: boolean) =>
      model.chat({ system, temperature: 0, maxTokens: 40, reusePrefix }).send('Hi').result
    const alone = await ask(false)
    using pinned = await model.pin({ system })
    const found = await ask(true)
    expect(found.usage.tokensReused).toBe(pinned.tokens)
    expect(found.text).toBe(alone.text)
  })

  it('is ERR_OPTION_INVALID where nothing is kept, and says what a model lacks', async () => {
    await using without = await loadModel(inject('models').tiny, { prefixCache: false })
    await expectCode('ERR_OPTION_INVALID', () => without.pin({ system }))
    await using embedder = await loadModel(inject('models').bert)
    await expectCode('ERR_MODEL_UNSUPPORTED', () =>
      embedder.pin({ system, template: '{{ messages[0].content }}' }),
    )
    await using untemplated = await loadModel(inject('models').untemplated)
    await expectCode('ERR_TEMPLATE_MISSING', () => untemplated.pin({ system }))
    await expectCode('ERR_PROMPT_INVALID', () =>
      untemplated.pin({ template: '{{ messages[-1].content }}' }),
    )
    await expectCode('ERR_OPTION_UNKNOWN', () => untemplated.pin({ sytem: 'x' } as never))
    await expectCode('ERR_TEMPLATE_INVALID', () =>
      untemplated.pin({ messages: [{ role: 'wizard' }] as never }),
    )
  })
})

describe('its life', () => {
  it('close() may come twice, and after the model’s', async () => {
    const model = await loadModel(inject('models').tiny)
    const [one, two] = await Promise.all([model.pin({ system }), model.pin({ system: 'b' })])
    one.close()
    one.close()
    await model.close()
    two.close()
    await expectCode('ERR_MODEL_CLOSED', () => model.pin({ system }))
  })

  it('a model that closes while a prefix is computed fails it with ERR_MODEL_CLOSED', async () => {
    const model = await loadModel(inject('models').real, { contextSize: 2048 })
    const pinning = model.pin({ system: long(400) })
    await Promise.all([expectCode('ERR_MODEL_CLOSED', () => pinning), model.close()])
  })
})
