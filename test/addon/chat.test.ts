import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { loadModel, type Model, type ToolDefinition } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

const weather: ToolDefinition = {
  name: 'weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { enum: ['Rome', 'Paris'] } },
    required: ['city'],
  },
}

describe('chat on the real model', () => {
  let model: Model
  beforeAll(async () => {
    model = await loadModel(inject('models').real)
  })
  afterAll(() => model.close())

  it('answers, keeps the history, and processes each turn only once', async () => {
    const chat = model.chat({ system: 'Be brief.', temperature: 0, maxTokens: 24 })
    const first = await chat.send('Name a colour.').result
    expect(first.text.length).toBeGreaterThan(0)
    expect(chat.history.map(({ role }) => role)).toEqual(['system', 'user', 'assistant'])
    const second = await chat.send('Another one.').result
    expect(second.usage.tokensReused).toBeGreaterThan(first.usage.tokensPrompt - 2)
    expect(chat.history).toHaveLength(5)
  })

  it('forks without changing the original, and resets to the system message', async () => {
    const chat = model.chat({ system: 'Be brief.', maxTokens: 4 })
    await chat.send('Hi').result
    const fork = chat.fork()
    await fork.send('More').result
    expect(chat.history).toHaveLength(3)
    expect(fork.history).toHaveLength(5)
    chat.reset()
    expect(chat.history).toEqual([{ role: 'system', content: 'Be brief.' }])
  })

  it('refuses a second answer while one is being written', async () => {
    const chat = model.chat({ maxTokens: 20 })
    const stream = chat.send('Hi')
    await expectCode('ERR_CHAT_BUSY', () => chat.send('Hello?'))
    await stream.result
    await chat.send('Now?').result
  })

  it('keeps an aborted answer with what it had', async () => {
    const chat = model.chat({ temperature: 0 })
    const stream = chat.send('Tell me a long story.')
    let text = ''
    for await (const part of stream) {
      if (part.type === 'text') text += part.text
      if (text.length > 30) stream.abort()
    }
    expect(chat.history.at(-1)).toEqual({ role: 'assistant', content: text, aborted: true })
  })

  it('resolves createChatCompletion with an OpenAI-shaped object', async () => {
    const completion = await model.createChatCompletion([{ role: 'user', content: 'Hi' }], {
      maxTokens: 5,
    })
    expect(completion).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { role: 'assistant' } }],
    })
  })

  it('constrains an answer by a schema', async () => {
    const chat = model.chat({
      jsonSchema: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
      seed: 1,
    })
    expect(typeof JSON.parse((await chat.send('Is it ok?').result).text).ok).toBe('boolean')
  })

  it('renders the template of the model', async () => {
    const text = await model.applyTemplate([{ role: 'user', content: 'Hi' }])
    expect(text).toContain('<|im_start|>user\nHi<|im_end|>')
    expect(text.endsWith('<|im_start|>assistant\n')).toBe(true)
  })
})

describe('tools and reasoning', () => {
  it('a required tool call comes out as a call with JSON arguments', async () => {
    await using model = await loadModel(inject('models').tools)
    expect(model.info.supportsTools).toBe(true)
    // A random model would talk before it calls: it is pushed to open the call at once, and not to open it twice.
    const [open] = await model.tokenize('<tool_call>', { parseSpecial: true })
    const [newline] = await model.tokenize('\n')
    const chat = model.chat({
      tools: [weather],
      toolChoice: 'required',
      maxTokens: 200,
      temperature: 0,
      frequencyPenalty: 60,
      logitBias: { [open!]: 80, [newline!]: 70 },
    })
    let streamed = ''
    const stream = chat.send('Weather in Rome?')
    for await (const part of stream) {
      if (part.type !== 'toolCall') continue
      if (part.index === 0) streamed += part.arguments
      else stream.abort() // the random model would go on calling
    }
    const { toolCalls } = await stream.result
    expect(toolCalls[0]).toMatchObject({ name: 'weather', id: expect.stringMatching(/./) })
    expect(['Rome', 'Paris']).toContain(JSON.parse(toolCalls[0]!.arguments).city)
    expect(JSON.parse(streamed)).toEqual(JSON.parse(toolCalls[0]!.arguments))
    chat.reset()
    const after = await chat.send(
      { role: 'tool', toolCallId: toolCalls[0]!.id, content: 'sunny' },
      { toolChoice: 'none', maxTokens: 4, logitBias: {} },
    ).result
    expect(after.usage.tokensPrompt).toBeGreaterThan(10)
  })

  it('a template with messages of tools renders them', async () => {
    await using model = await loadModel(inject('models').tools)
    const text = await model.applyTemplate(
      [
        { role: 'user', content: 'Weather?' },
        {
          role: 'assistant',
          content: '',
          toolCalls: [{ id: 'a', name: 'weather', arguments: '{"city":"Rome"}' }],
        },
        { role: 'tool', toolCallId: 'a', content: 'sunny' },
      ],
      { tools: [weather] },
    )
    expect(text).toContain('"name": "weather"')
    expect(text).toContain('<tool_response>\nsunny')
  })

  it('malformed tools and choices are refused', async () => {
    await using model = await loadModel(inject('models').tools)
    await expectCode('ERR_OPTION_INVALID', () => model.chat({ tools: [{}] as never }))
    await expectCode('ERR_OPTION_INVALID', () => model.chat({ toolChoice: 'maybe' as never }))
    await expectCode('ERR_TEMPLATE_INVALID', () =>
      model.chat().send({ role: 'tool', content: 'x' } as never),
    )
    await expectCode('ERR_TEMPLATE_INVALID', () =>
      model.chat().send({ role: 'wizard', content: 'x' } as never),
    )
  })
})

describe('templates', () => {
  it('a model without a template says so, and takes one', async () => {
    await using model = await loadModel(inject('models').untemplated)
    await expectCode('ERR_TEMPLATE_MISSING', () => model.chat().send('Hi').result)
    const template = '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}'
    expect(await model.applyTemplate([{ role: 'user', content: 'Hi' }], { template })).toBe(
      'user: Hi\n',
    )
  })

  it.each([
    ['a range that would fill the memory', '{% for i in range(1000000000) %}x{% endfor %}'],
    ['a power', '{% for i in range(10**9) %}x{% endfor %}'],
    [
      'loops in loops over ranges',
      '{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}',
    ],
    ['broken syntax', '{% for %}'],
    ['an unknown function', '{{ launch_missiles() }}'],
    ['100 MB of text', 'x'.repeat(1e8)],
    ['deep brackets', `{{ ${'('.repeat(1e5)}1${')'.repeat(1e5)} }}`],
  ])('refuses a template with %s', async (_, template) => {
    await using model = await loadModel(inject('models').tiny)
    await expectCode('ERR_TEMPLATE_INVALID', () =>
      model.applyTemplate([{ role: 'user', content: 'Hi' }], { template }),
    )
    expect(await model.applyTemplate([{ role: 'user', content: 'Hi' }])).toContain('Hi')
  })
})
