import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { loadModel, type Model } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

let model: Model
beforeAll(async () => {
  model = await loadModel(inject('models').tiny, { contextSize: 512 })
})
afterAll(async () => {
  // Whatever was fed to it, it still answers.
  expect(
    (await model.complete('Once', { maxTokens: 3, ignoreEos: true }).result).usage.tokensGenerated,
  ).toBe(3)
  await model.close()
})

describe('options', () => {
  it.each([
    ['temperature', Number.NaN],
    ['temperature', '0.5'],
    ['temperature', Number.POSITIVE_INFINITY],
    ['maxTokens', -1],
    ['maxTokens', 1.5],
    ['maxTokens', 2 ** 60],
    ['seed', -1],
    ['seed', 2 ** 32],
    ['topP', 1.01],
    ['logprobs', 1e9],
    ['stop', [1]],
    ['signal', {}],
    ['mirostat', 3],
    ['samplers', ['topQ']],
    ['jsonSchema', 5],
  ])('%s %s is ERR_OPTION_INVALID', async (name, value) => {
    const error = await expectCode('ERR_OPTION_INVALID', () =>
      model.complete('x', { [name]: value }),
    )
    expect(error.message).toContain(name)
  })

  it('a cacheType whose blocks are longer than a head says so', async () => {
    const error = await expectCode('ERR_OPTION_INVALID', () =>
      loadModel(inject('models').tiny, { cacheType: 'q8_0' }),
    )
    expect(error.message).toContain('q8_0')
  })

  it('a misspelt option names the one that was meant', async () => {
    const error = await expectCode('ERR_OPTION_UNKNOWN', () =>
      model.complete('x', { temprature: 1 } as never),
    )
    expect(error.message).toContain('did you mean temperature')
  })

  it('__proto__ is an unknown option, not a way in', async () => {
    await expectCode('ERR_OPTION_UNKNOWN', () =>
      model.complete('x', JSON.parse('{"__proto__": {"maxTokens": 1}}')),
    )
    expect(({} as { maxTokens?: number }).maxTokens).toBeUndefined()
  })

  it.each([[{ 5: 'x' }], [{ x: 1 }], [{ 99999999: 1 }], [{ 5: Number.NaN }]])(
    'logitBias %j is refused',
    async (logitBias) => {
      await expectCode(
        'ERR_OPTION_INVALID',
        () => model.complete('x', { logitBias: logitBias as never }).result,
      )
    },
  )

  it.each([
    ['threads', 0],
    ['threads', 1.5],
    ['threads', {}.toString()],
    ['contextSize', 0],
    ['batchSize', 1e9],
    ['pooling', 'max'],
    ['cacheType', 'q9'],
    ['devices', ['nope']],
  ])('loading with %s %s is refused', async (name, value) => {
    await expectCode('ERR_OPTION_INVALID', () =>
      loadModel(inject('models').tiny, { [name]: value }),
    )
  })
})

describe('prompts', () => {
  it('an empty prompt without a begin token is ERR_PROMPT_INVALID', async () => {
    await expectCode('ERR_PROMPT_INVALID', () => model.complete('').result)
  })
  it('a lone surrogate is ERR_PROMPT_INVALID', async () => {
    await expectCode('ERR_PROMPT_INVALID', () => model.complete('a\ud800b'))
    await expectCode('ERR_PROMPT_INVALID', () => model.tokenize('\udc00'))
  })
  it('a prompt longer than the context is ERR_PROMPT_TOO_LONG with both numbers', async () => {
    const error = await expectCode(
      'ERR_PROMPT_TOO_LONG',
      () => model.complete('word '.repeat(2000)).result,
    )
    expect(error.message).toMatch(/512/)
  })
  it.each(
    [[[-1]], [[1e9]], [[1.5]], ['x' as never as number[]].slice(1)].filter((row) => row.length > 0),
  )('tokens %j are refused', async (tokens) => {
    await expectCode('ERR_PROMPT_INVALID', () => model.complete(tokens as number[]).result)
  })
  it.each([[undefined], [null], [5], [{}]])('the prompt %s is refused', async (prompt) => {
    await expectCode('ERR_PROMPT_INVALID', () => model.complete(prompt as never))
  })
})

describe('grammars', () => {
  it.each([
    ['a syntax error', 'root ::= ('],
    ['no root', 'other ::= "x"'],
    ['an undefined rule', 'root ::= nothing'],
    ['left recursion', 'root ::= root "x" | "y"'],
    ['an llguidance header', '%llguidance {}\nstart: "x"'],
    ['60,000 parentheses', `root ::= ${'('.repeat(60000)}`],
    ['60,000 closed parentheses', `root ::= ${'('.repeat(60000)}"x"${')'.repeat(60000)}`],
    ['a repetition of 10^9', 'root ::= "x"{1000000000}'],
    ['two megabytes', `root ::= "${'x'.repeat(2 ** 21)}"`],
  ])('%s is ERR_GRAMMAR_INVALID', async (_, grammar) => {
    await expectCode(
      'ERR_GRAMMAR_INVALID',
      () => model.complete('x', { grammar, maxTokens: 2 }).result,
    )
  })

  it('a parenthesis in a literal does not count as nesting', async () => {
    const grammar = `root ::= "${'('.repeat(300)}"`
    expect(await model.complete('x', { grammar, maxTokens: 400 }).text()).toBe('('.repeat(300))
  })

  it('grammar and schema together are refused', async () => {
    await expectCode(
      'ERR_OPTION_INVALID',
      () => model.complete('x', { grammar: 'root ::= "x"', jsonSchema: {} }).result,
    )
  })
})

describe('schemas', () => {
  const nested = (depth: number) => {
    let schema: object = { type: 'string' }
    for (let i = 0; i < depth; i++) schema = { type: 'array', items: schema }
    return schema
  }
  it.each([
    ['nested 100 deep', nested(100)],
    ['nested 10^5 deep', nested(1e5)],
    ['text that is no JSON', '{'],
    ['an unknown type', { type: 'wizard' }],
    ['a reference to nowhere', { $ref: '#/$defs/missing' }],
    ['a remote reference', { $ref: 'https://example.com/schema.json' }],
    [
      'a circular object',
      (() => {
        const circle: Record<string, unknown> = { type: 'array' }
        circle['items'] = circle
        return circle
      })(),
    ],
  ])('%s is ERR_SCHEMA_INVALID', async (_, jsonSchema) => {
    await expectCode(
      'ERR_SCHEMA_INVALID',
      () => model.complete('x', { jsonSchema, maxTokens: 2 }).result,
    )
  })

  it.each([
    [
      'a recursive $ref',
      {
        $ref: '#/$defs/node',
        $defs: { node: { type: 'object', properties: { next: { $ref: '#/$defs/node' } } } },
      },
    ],
    ['ten thousand choices', { anyOf: Array.from({ length: 10_000 }, (_, i) => ({ const: i })) }],
    ['a catastrophic pattern', { type: 'string', pattern: '^(a+)+$' }],
    ['maxItems 2^31', { type: 'array', items: { type: 'integer' }, maxItems: 2 ** 31 }],
  ])('%s ends, with text or an error', async (_, jsonSchema) => {
    await model.complete('x', { jsonSchema, maxTokens: 4 }).result.catch((error) => {
      expect(['ERR_SCHEMA_INVALID', 'ERR_GRAMMAR_INVALID']).toContain(error.code)
    })
  })
})

describe('the queue', () => {
  it('a request beyond the limit is ERR_QUEUE_FULL, those before are served', async () => {
    await using small = await loadModel(inject('models').tiny, {
      queueLimit: 4,
      maxSequences: 1,
      contextSize: 256,
    })
    const all = await Promise.allSettled(
      Array.from(
        { length: 40 },
        () => small.complete('Once', { maxTokens: 100, ignoreEos: true, temperature: 0 }).result,
      ),
    )
    const refused = all.filter((outcome) => outcome.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'ERR_QUEUE_FULL' })
    expect(all.length - refused.length).toBeGreaterThanOrEqual(5)
  })

  it('aborting a queued request does not touch the running one', async () => {
    await using small = await loadModel(inject('models').tiny, {
      maxSequences: 1,
      contextSize: 512,
    })
    const running = small.complete('Once', { maxTokens: 300, ignoreEos: true, temperature: 0 })
    const queued = small.complete('The', { maxTokens: 300, ignoreEos: true })
    queued.abort()
    expect((await queued.result).finishReason).toBe('abort')
    expect((await running.result).usage.tokensGenerated).toBe(300)
  })
})
