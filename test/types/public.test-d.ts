// public.test-d.ts: what must compile, and what must not. Checked by `npm run types`, never run.

import {
  type Chat,
  type ChatPart,
  type Completion,
  type KeptChat,
  loadModel,
  type Model,
  type ModelLease,
  ModelManager,
  type SottoError,
  type TextPart,
  type TokenStream,
} from '../../lib/index.js'

declare function expectType<Expected>(value: Expected): void

export async function everything(): Promise<void> {
  await using model: Model = await loadModel('x', {
    threads: { generation: 2, priority: 'low' },
    cacheType: { k: 'q8_0' },
  })
  const stream: TokenStream<TextPart> = model.complete('x', {
    samplers: ['topK'],
    logitBias: new Map([[1, 2]]),
  })
  for await (const { text, logprobs } of stream) {
    expectType<string>(text)
    expectType<number | undefined>(logprobs?.[0]?.top[0]?.logprob)
  }
  const chat: Chat = model.chat({ system: 'x', tools: [{ name: 'f' }] })
  for await (const part of chat.send('x')) {
    expectType<ChatPart>(part)
    if (part.type === 'toolCall') expectType<string>(part.arguments)
    // @ts-expect-error a reasoning part has no name
    if (part.type === 'reasoning') part.name
  }
  expectType<Float32Array>(await model.embed('x'))
  expectType<Float32Array[]>(await model.embed(['x']))
  expectType<Completion>(
    await model.createCompletion('x', { temperature: 0.7, topP: 0.9, maxTokens: 128 }),
  )
  await using manager = new ModelManager({ memoryBudget: 2 ** 30, idleTimeout: 1000 })
  manager.on('failed', ({ name, error, serving }) => {
    expectType<string>(name + error.message)
    expectType<string | string[] | undefined>(serving)
  })
  // @ts-expect-error not an event
  manager.on('lost', () => {})
  await manager.load('chat', 'x', { contextSize: 512, whenFull: 'drain', onDemand: false })
  expectType<Promise<void>>((await manager.swap('chat', ['x', 'y'])).drained)
  using lease: ModelLease = await manager.lease('chat')
  expectType<Model>(lease.model)
  expectType<Chat>(manager.chat('chat', { promptTemplate: 'support' }))
  expectType<KeptChat>(await manager.openChat('anna', { promptTemplate: 'support' }))
  expectType<KeptChat>((await manager.openChat('chat', 'anna', { principal: 'x' })).fork())
  new ModelManager({ contexts: { key: new Uint8Array(32), onEvent: ({ name, id }) => [name, id] } })
  // @ts-expect-error neither
  await manager.load('chat', 'x', { whenFull: 'wait' })
  const reason: 'stop' | 'length' | 'abort' | 'context' | 'toolCalls' = (await stream.result)
    .finishReason
  expectType<string>(reason)
  // @ts-expect-error misspelt
  model.complete('x', { temprature: 1 })
  // @ts-expect-error not a sampler
  model.complete('x', { samplers: ['topQ'] })
  // @ts-expect-error tool messages answer a call
  chat.send({ role: 'tool', content: 'x' })
  // @ts-expect-error no constructor
  new model.constructor.Model()
  const code: SottoError['code'] = 'ERR_ABORTED'
  // @ts-expect-error not a code
  const wrong: SottoError['code'] = 'ERR_NOPE'
  expectType<string>(code + wrong)
}
