import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { loadModel, type Model, type StreamResult } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

const greedy = { temperature: 0 }
const prompts = [
  'Once upon a time',
  'The sky is',
  'One, two,',
  'A token',
  'It did not',
  'The capital',
  'stories to',
  'ten.',
]

describe.each(['tiny', 'real'] as const)('completion on the %s model', (name) => {
  let model: Model
  beforeAll(async () => {
    model = await loadModel(inject('models')[name], { contextSize: 4096 })
  })
  afterAll(() => model.close())

  it('streams the same text that result and text() give', async () => {
    const stream = model.complete('Once upon a time', { ...greedy, maxTokens: 24 })
    let text = ''
    for await (const part of stream) text += part.text
    const result = await stream.result
    expect(text).toBe(result.text)
    expect(await model.complete('Once upon a time', { ...greedy, maxTokens: 24 }).text()).toBe(text)
    expect(result.usage.tokensGenerated).toBeGreaterThan(0)
    expect(result.usage.tokensGenerated).toBeLessThanOrEqual(24)
    expect(result.timings.firstTokenMs).toBeGreaterThan(0)
  })

  it('gives the same text for the same seed and another for another', async () => {
    const options = { temperature: 1.5, topK: 0, topP: 1, minP: 0, maxTokens: 24, ignoreEos: true }
    const [a, b, c] = await Promise.all(
      [7, 7, 8].map((seed) => model.complete('Once', { ...options, seed }).text()),
    )
    expect(a).toBe(b)
    expect(c).not.toBe(a)
  })

  it('writes eight answers at once, each as its own single run but for ties', async () => {
    const options = { ...greedy, maxTokens: 32, reusePrefix: false, ignoreEos: true, logprobs: 5 }
    const alone: StreamResult[] = []
    for (const prompt of prompts) alone.push(await model.complete(prompt, options).result)
    const together = await Promise.all(
      prompts.map((prompt) => model.complete(prompt, options).result),
    )
    for (const [i, { text, logprobs }] of together.entries()) {
      const single = alone[i]!
      if (text === single.text) continue
      // Cells that others have left lie in another order, and F32 weights are multiplied by ggml, which rounds by company: two tokens
      // that are nearly equally likely may change places, and then, and only then, the texts part.
      const at = logprobs!.findIndex(({ token }, j) => token !== single.logprobs![j]?.token)
      const [first, ...rivals] = single.logprobs![at]!.top
      const chosen = rivals.find(({ token }) => token === logprobs![at]!.token)
      expect(chosen, `${text} is not ${single.text}`).toBeDefined()
      expect(first!.logprob - chosen!.logprob).toBeLessThan(0.3)
    }
    for (const { usage } of together) expect(usage.tokensGenerated).toBe(32) // none starves
  })

  it('does not process a shared beginning of 1,000 tokens again', async () => {
    const shared = Array.from({ length: 1000 }, (_, i) => 300 + (i % 150))
    const first = await model.complete([...shared, 301, 302], { ...greedy, maxTokens: 4 }).result
    const second = await model.complete([...shared, 303, 304], { ...greedy, maxTokens: 4 }).result
    expect(first.usage.tokensReused).toBeLessThan(10)
    expect(second.usage.tokensReused).toBeGreaterThanOrEqual(1000)
  })

  it('shares a beginning also while the first request is still running', async () => {
    const shared = Array.from({ length: 1000 }, (_, i) => 310 + (i % 140))
    const both = await Promise.all([
      model.complete([...shared, 301], { ...greedy, maxTokens: 64, ignoreEos: true }).result,
      model.complete([...shared, 303], { ...greedy, maxTokens: 64, ignoreEos: true }).result,
    ])
    // Whose tokens are ready first goes first: requests are prepared side by side.
    const [first, second] = both.map(({ usage }) => usage.tokensReused).sort((a, b) => a - b)
    expect(first).toBeLessThan(10)
    expect(second).toBeGreaterThanOrEqual(1000)
  })

  it('reuses no prompt of another principal', async () => {
    const shared = Array.from({ length: 200 }, (_, i) => 320 + (i % 100))
    await model.complete(shared, { ...greedy, maxTokens: 1, principal: 'ada' }).result
    const other = await model.complete(shared, { ...greedy, maxTokens: 1, principal: 'bob' }).result
    const own = await model.complete(shared, { ...greedy, maxTokens: 1, principal: 'ada' }).result
    expect(other.usage.tokensReused).toBe(0)
    expect(own.usage.tokensReused).toBe(199)
  })

  it('follows a grammar', async () => {
    const text = await model
      .complete('Answer:', { grammar: 'root ::= ("yes" | "no") "!"', maxTokens: 16, seed: 1 })
      .text()
    expect(['yes!', 'no!']).toContain(text)
  })

  it('follows a JSON schema', async () => {
    const jsonSchema = {
      type: 'object',
      properties: {
        colour: { enum: ['red', 'green'] },
        count: { type: 'integer', minimum: 0, maximum: 99 },
      },
      required: ['colour', 'count'],
      additionalProperties: false,
    }
    const answer = JSON.parse(
      await model.complete('As JSON:', { jsonSchema, maxTokens: 200, seed: 3 }).text(),
    )
    expect(['red', 'green']).toContain(answer.colour)
    expect(Number.isInteger(answer.count)).toBe(true)
  })

  it('ends at a stop string, shows no part of it, and says which it was', async () => {
    const whole = await model.complete('Once upon a time', { ...greedy, maxTokens: 40 }).text()
    const stop = whole.slice(12, 16)
    let text = ''
    const stream = model.complete('Once upon a time', {
      ...greedy,
      maxTokens: 40,
      stop: ['§§', stop],
    })
    for await (const part of stream) {
      text += part.text
      expect(text).not.toContain(stop)
    }
    expect(text).toBe(whole.slice(0, whole.indexOf(stop)))
    expect(await stream.result).toMatchObject({ finishReason: 'stop', stopString: stop })
  })

  it('accepts a hundred thousand stop strings', async () => {
    const stop = Array.from({ length: 100_000 }, (_, i) => `§${i}§`)
    const { text } = await model.complete('Once', { ...greedy, maxTokens: 8, stop }).result
    expect(text).toBe(await model.complete('Once', { ...greedy, maxTokens: 8 }).text())
  })

  it('gives log-probabilities of the chosen and the most likely tokens', async () => {
    const { logprobs, usage } = await model.complete('Once', {
      ...greedy,
      maxTokens: 5,
      ignoreEos: true,
      logprobs: 3,
    }).result
    expect(logprobs).toHaveLength(usage.tokensGenerated)
    for (const { token, logprob, top } of logprobs!) {
      expect(top).toHaveLength(3)
      expect(top[0]!.logprob).toBeGreaterThanOrEqual(top[1]!.logprob)
      expect(
        top.map((entry) => Math.exp(entry.logprob)).reduce((a, b) => a + b),
      ).toBeLessThanOrEqual(1.0001)
      expect(logprob).toBeLessThanOrEqual(0)
      expect(top[0]!.token).toBe(token)
    }
  })

  it('forbids tokens by logit bias', async () => {
    const [first] = await model.tokenize(
      await model.complete('Once upon', { ...greedy, maxTokens: 1 }).text(),
    )
    const logprobs = await model.complete('Once upon', { ...greedy, maxTokens: 1, logprobs: 1 })
      .result
    const token = logprobs.logprobs![0]!.token
    const without = await model.complete('Once upon', {
      ...greedy,
      maxTokens: 1,
      logprobs: 1,
      logitBias: { [token]: Number.NEGATIVE_INFINITY },
    }).result
    expect(without.logprobs![0]!.token).not.toBe(token)
    expect(first).toBeDefined()
  })

  it.each([
    ['dynamic temperature', { temperature: 1, dynatempRange: 0.5 }],
    ['typical', { typicalP: 0.5 }],
    ['top-n-sigma', { topNSigma: 1 }],
    ['xtc', { xtcProbability: 1, xtcThreshold: 0.05 }],
    ['dry', { dryMultiplier: 1, dryAllowedLength: 1 }],
    ['mirostat 1', { mirostat: 1 as const }],
    ['mirostat 2', { mirostat: 2 as const }],
    [
      'penalties',
      { repeatPenalty: 1.3, frequencyPenalty: 0.5, presencePenalty: 0.5, repeatLastN: -1 },
    ],
    ['a chosen order', { samplers: ['temperature' as const, 'topK' as const], topK: 3 }],
    ['minKeep', { minP: 1, minKeep: 3 }],
  ])('samples with %s', async (_, options) => {
    const { usage } = await model.complete('Once', {
      ...options,
      seed: 1,
      maxTokens: 12,
      ignoreEos: true,
    }).result
    expect(usage.tokensGenerated).toBe(12)
  })

  it('takes only the most likely token with topK 1, whatever the temperature', async () => {
    const one = await model
      .complete('Once', { topK: 1, temperature: 5, maxTokens: 12, seed: 5 })
      .text()
    expect(one).toBe(await model.complete('Once', { ...greedy, maxTokens: 12 }).text())
  })

  it('ends with reason context when the context is full, and goes on with overflow shift', async () => {
    await using small = await loadModel(inject('models')[name], { contextSize: 256 })
    const full = await small.complete('Once', { ...greedy, ignoreEos: true }).result
    expect(full.finishReason).toBe('context')
    expect(full.usage.tokensGenerated + full.usage.tokensPrompt).toBeGreaterThanOrEqual(255)
    const shifted = await small.complete('Once', {
      ...greedy,
      ignoreEos: true,
      overflow: 'shift',
      maxTokens: 600,
    }).result
    expect(shifted).toMatchObject({ finishReason: 'length', usage: { tokensGenerated: 600 } })
  })

  it('serves more than the context holds by letting the youngest wait', async () => {
    await using small = await loadModel(inject('models')[name], {
      contextSize: 512,
      maxSequences: 6,
    })
    const results = await Promise.all(
      prompts
        .slice(0, 6)
        .map(
          (prompt) => small.complete(prompt, { ...greedy, ignoreEos: true, maxTokens: 180 }).result,
        ),
    )
    for (const result of results)
      expect(result).toMatchObject({ finishReason: 'length', usage: { tokensGenerated: 180 } })
  })

  it('maxTokens 0 gives no text and the prompt count', async () => {
    expect(await model.complete('Once upon a time', { maxTokens: 0 }).result).toMatchObject({
      text: '',
      finishReason: 'length',
    })
  })

  it('resolves createCompletion with an OpenAI-shaped object', async () => {
    const completion = await model.createCompletion('Once', {
      temperature: 0.7,
      topP: 0.9,
      maxTokens: 8,
      logprobs: 1,
    })
    expect(completion).toMatchObject({
      object: 'text_completion',
      choices: [{ index: 0 }],
      usage: { completion_tokens: expect.any(Number) },
    })
    expect(completion.id).toMatch(/^cmpl-/)
    expect(completion.usage.total_tokens).toBe(
      completion.usage.prompt_tokens + completion.usage.completion_tokens,
    )
  })

  it('round-trips text through tokens', async () => {
    const text = 'Grüße aus Köln, naïve café, 日本語, 🙂.'
    expect(model.detokenize(await model.tokenize(text))).toBe(text)
    expect(await model.countTokens(text)).toBe((await model.tokenize(text)).length)
  })

  it('feeds web and Node streams', async () => {
    const expected = await model.complete('Once', { ...greedy, maxTokens: 12 }).text()
    let web = ''
    for await (const text of model
      .complete('Once', { ...greedy, maxTokens: 12 })
      .toReadableStream())
      web += text
    let node = ''
    for await (const text of model.complete('Once', { ...greedy, maxTokens: 12 }).toReadable())
      node += text
    expect([web, node]).toEqual([expected, expected])
  })
})

describe('abort', () => {
  let model: Model
  beforeAll(async () => {
    model = await loadModel(inject('models').real, { contextSize: 8192 })
  })
  afterAll(() => model.close())

  it('ends a prefill of 4,000 tokens with reason abort, and others go on', async () => {
    const other = model.complete('Once upon a time', { ...greedy, maxTokens: 30, ignoreEos: true })
    const controller = new AbortController()
    const long = Array.from({ length: 4000 }, (_, i) => 400 + (i % 1000))
    const stream = model.complete(long, { signal: controller.signal })
    setTimeout(() => controller.abort(), 50)
    expect(await stream.result).toMatchObject({
      finishReason: 'abort',
      usage: { tokensGenerated: 0 },
    })
    expect((await other.result).usage.tokensGenerated).toBe(30)
  })

  it('keeps the text that was there', async () => {
    const stream = model.complete('Once upon a time', { ...greedy, ignoreEos: true })
    let text = ''
    for await (const part of stream) {
      text += part.text
      if (text.length > 20) stream.abort()
    }
    const result = await stream.result
    expect(result.finishReason).toBe('abort')
    expect(result.text).toBe(text)
  })

  it('leaving for await early stops the request', async () => {
    const stream = model.complete('Once', { ...greedy, ignoreEos: true })
    for await (const _ of stream) break
    expect((await stream.result).finishReason).toBe('abort')
  })

  it('a signal that is already aborted starts nothing', async () => {
    expect(await model.complete('Once', { signal: AbortSignal.abort() }).result).toMatchObject({
      finishReason: 'abort',
      text: '',
    })
  })

  it('a reader that does not read holds its own sequence, not the others', async () => {
    const slow = model.complete('Once', { ...greedy, ignoreEos: true, maxTokens: 3000 })
    const reader = slow[Symbol.asyncIterator]()
    await reader.next()
    const { usage } = await model.complete('The sky', { ...greedy, ignoreEos: true, maxTokens: 40 })
      .result
    expect(usage.tokensGenerated).toBe(40)
    await reader.return?.()
    expect((await slow.result).finishReason).toBe('abort')
  })

  it('a stream has one reader', async () => {
    const stream = model.complete('Once', { maxTokens: 2 })
    for await (const _ of stream);
    await expectCode('ERR_STREAM_LOCKED', async () => {
      for await (const _ of stream);
    })
  })
})
