// The options of speculation, and what answers say of it. That no answer changes by it is tested beside the scheduler, in
// test/native/speculation-test.cpp.

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { loadModel, type Model } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

const text =
  'The harbour of Ostend lies between two long wooden piers, and every morning the fishing boats return.'
const ask = `Repeat this text word for word:\n\n${text}`
const greedy = { temperature: 0, maxTokens: 48, reusePrefix: false }

describe('speculation', () => {
  let model: Model
  beforeAll(async () => {
    model = await loadModel(inject('models').real, { contextSize: 1024, speculation: true })
  })
  afterAll(() => model.close())

  it('is said in usage and timings, and changes no text', async () => {
    const ahead = await model.chat(greedy).send(ask).result
    const plain = await model.chat({ ...greedy, speculation: false }).send(ask).result
    expect(ahead.text).toBe(plain.text)
    expect(ahead.usage.tokensAccepted).toBeGreaterThan(0)
    expect(ahead.usage.tokensAccepted).toBeLessThanOrEqual(ahead.usage.tokensDrafted)
    expect(ahead.timings).toMatchObject({
      tokensDrafted: ahead.usage.tokensDrafted,
      tokensAccepted: ahead.usage.tokensAccepted,
    })
    expect(plain.usage).toMatchObject({ tokensDrafted: 0, tokensAccepted: 0 })
  })

  it('keeps log-probabilities, one entry a token', async () => {
    const { logprobs, usage } = await model.chat({ ...greedy, logprobs: 2 }).send(ask).result
    expect(logprobs).toHaveLength(usage.tokensGenerated)
  })

  it('is off where the model was loaded so, unless a request says otherwise', async () => {
    await using quiet = await loadModel(inject('models').real, {
      contextSize: 512,
      speculation: false,
    })
    expect(quiet.info.canSpeculate).toBe(true)
    const off = await quiet.chat(greedy).send(ask).result
    expect(off.usage.tokensDrafted).toBe(0)
    const on = await quiet.chat({ ...greedy, speculation: true }).send(ask).result
    expect(on.usage.tokensDrafted).toBeGreaterThan(0)
  })

  it.each([['yes'], [1], [null]])('%j is ERR_OPTION_INVALID', async (speculation) => {
    await expectCode('ERR_OPTION_INVALID', () => model.complete('x', { speculation } as never))
    await expectCode('ERR_OPTION_INVALID', () =>
      loadModel(inject('models').tiny, { speculation } as never),
    )
  })
})

describe('a draft model', () => {
  it('proposes what the model says when it is the model itself', async () => {
    const { real } = inject('models')
    const fractions: number[] = []
    await using model = await loadModel(real, {
      contextSize: 512,
      draft: { path: real, maxTokens: 4 },
      speculation: true,
      onProgress: ({ fraction }) => fractions.push(fraction),
    })
    const { usage } = await model.chat(greedy).send('Why is the sky blue?').result
    expect(usage.tokensAccepted).toBeGreaterThan(usage.tokensGenerated / 2)
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
  })

  it('of another vocabulary is ERR_DRAFT_INVALID', async () => {
    const { real, tiny } = inject('models')
    await expect(loadModel(real, { draft: tiny })).rejects.toMatchObject({
      code: 'ERR_DRAFT_INVALID',
      message: expect.stringMatching(/vocabulary/),
    })
  })

  it('that cannot be found is ERR_MODEL_NOT_FOUND', async () => {
    await expect(
      loadModel(inject('models').tiny, { draft: '/nowhere/draft.gguf' }),
    ).rejects.toMatchObject({ code: 'ERR_MODEL_NOT_FOUND' })
  })

  it.each([
    [5],
    [''],
    [{}],
    [{ path: '' }],
    [{ path: 'x', maxTokens: 16 }],
    [{ path: 'x', max: 1 }],
  ])('%j is refused', async (draft) => {
    await expect(loadModel(inject('models').tiny, { draft } as never)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_OPTION_(INVALID|UNKNOWN)$/),
    })
  })
})
