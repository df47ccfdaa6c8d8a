// What lib/ never does: the addon called directly, with anything. Each is an error, never the end of the process.

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type NativeModel, type NativeModelOptions, native } from '../../lib/native.js'

const { Model, AbortFlag, setLogLevel } = native()

const options = (): NativeModelOptions => ({
  paths: [inject('models').tiny],
  gpuLayers: -1,
  devices: [],
  mmap: true,
  mlock: false,
  directRead: false,
  prefetch: -1,
  checkTensors: false,
  adapters: [],
  upstreamKernels: false,
  packedPath: '',
  contextSize: 256,
  batchSize: 64,
  sequences: 2,
  cachedSequences: 2,
  queueLimit: 8,
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
  flashAttention: -1,
  offloadKv: true,
  prefixCache: true,
  pooling: 'auto',
  speculation: 'auto',
  draftPaths: [],
  draftPackedPath: '',
  draftTokens: 15,
  threads: { generation: 1, prompt: 1, affinity: [], priority: 0, poll: 50 },
})

const failure = async (action: () => unknown): Promise<unknown> => {
  try {
    await action()
  } catch (error) {
    return error
  }
  throw new Error('Expected a failure, nothing was thrown')
}

describe('Model.load', () => {
  it.each([
    ['paths', []],
    ['paths', [5]],
    ['paths', 'model.gguf'],
    ['gpuLayers', -2],
    ['gpuLayers', 2 ** 40],
    ['mmap', 1],
    ['adapters', {}],
    ['adapters', [{}]],
    ['contextSize', -1],
    ['batchSize', 0],
    ['batchSize', 2 ** 31 - 1],
    ['sequences', 0],
    ['sequences', 2 ** 31 - 1],
    ['cachedSequences', -5],
    ['queueLimit', Number.NaN],
    ['queueLimit', 2 ** 31 - 1],
    ['cacheTypeK', 'q2_k'],
    ['flashAttention', 2],
    ['pooling', 'max'],
    ['speculation', true],
    ['speculation', 'default'],
    ['draftPaths', 'model.gguf'],
    ['draftPaths', [5]],
    ['draftTokens', 0],
    ['draftTokens', 16],
    ['threads', null],
    ['threads', { generation: 0, prompt: 1, affinity: [], priority: 0, poll: 50 }],
    ['threads', { generation: 1, prompt: 1e6, affinity: [], priority: 0, poll: 50 }],
    ['threads', { generation: 1, prompt: 1, affinity: [], priority: 9, poll: 50 }],
    ['threads', { generation: 1, prompt: 1, affinity: [], priority: 0, poll: -1 }],
    ['threads', { generation: 1, prompt: 1, affinity: [-1], priority: 0, poll: 50 }],
    ['threads', { generation: 1, prompt: 1, affinity: [1e6], priority: 0, poll: 50 }],
  ])('%s %j is ERR_OPTION_INVALID', async (name, value) => {
    const load = () =>
      Model.load({ ...options(), [name]: value } as never, () => {}, undefined, new AbortFlag())
    expect(await failure(load)).toMatchObject({ code: 'ERR_OPTION_INVALID' })
  })

  it.each([
    [[]],
    [[{}]],
    [['options', () => {}]],
    [[{}, 5, undefined, {}]],
    [[{}, () => {}, 'progress', {}]],
  ])('arguments %j are ERR_OPTION_INVALID', async (list) => {
    const load = Model.load as (...list: unknown[]) => unknown
    expect(await failure(() => load(...list))).toMatchObject({ code: 'ERR_OPTION_INVALID' })
  })

  it('an object that only looks like an AbortFlag is refused', async () => {
    const load = () => Model.load(options(), () => {}, undefined, { abort() {} })
    expect(await failure(load)).toMatchObject({ code: 'ERR_OPTION_INVALID' })
  })

  it.each([[null], [undefined], ['text'], [5], [Symbol('s')]])(
    'a getter that throws %s throws just that',
    async (value) => {
      const hostile = {
        get paths(): string[] {
          throw value
        },
      }
      const load = () => Model.load(hostile as never, () => {}, undefined, new AbortFlag())
      expect(await failure(load)).toBe(value)
    },
  )
})

describe('a model', () => {
  let model: NativeModel
  const events: unknown[] = []
  beforeAll(async () => {
    model = await Model.load(options(), (list) => events.push(...list), undefined, new AbortFlag())
  })
  afterAll(() => model.close())

  it('has no public constructor', async () => {
    const Constructor = Model as unknown as new (...list: unknown[]) => unknown
    expect(await failure(() => new Constructor())).toBeInstanceOf(TypeError)
    expect(await failure(() => new Constructor({}))).toBeInstanceOf(TypeError)
    expect(await failure(() => new Constructor(model))).toBeInstanceOf(TypeError)
  })

  it('methods refuse a foreign this', async () => {
    const flag = new AbortFlag()
    for (const foreign of [{}, null, flag, Object.create(model), new Proxy(model, {})]) {
      expect(await failure(() => model.info.call(foreign as never))).toBeInstanceOf(TypeError)
      expect(await failure(() => model.close.call(foreign as never))).toBeInstanceOf(TypeError)
    }
    expect(await failure(() => flag.abort.call(model as never))).toBeInstanceOf(TypeError)
  })

  it.each([
    ['submit', [{}]],
    ['submit', [{ id: -1, principal: '' }]],
    ['submit', [{ id: 2 ** 32, principal: '' }]],
    ['submit', [{ id: Number.NaN, principal: '' }]],
    ['embed', [{ id: 1, principal: '', rerank: false, query: '', inputs: [1] }]],
    ['cancel', ['one']],
    ['cancel', [-1]],
    ['pause', [Number.POSITIVE_INFINITY, true]],
    ['tokenize', [5, false, false]],
    ['tokenize', ['text', 1, false]],
    ['detokenize', ['text', false]],
    ['detokenize', [[1.5], false]],
    ['applyTemplate', [{}]],
    ['setThreads', [{ generation: 0, prompt: 1 }]],
    ['measure', [0, 1]],
    ['measure', [1, 0]],
    ['measure', [1e9, 1]],
    ['measure', [1, 2 ** 31]],
  ] as [keyof NativeModel, unknown[]][])('%s(...%j) is ERR_OPTION_INVALID', async (name, list) => {
    const method = model[name] as (...list: unknown[]) => unknown
    const error = await failure(() => method.apply(model, list))
    expect(error).toMatchObject({ code: 'ERR_OPTION_INVALID' })
  })

  it('tokens that are not in the vocabulary are ERR_PROMPT_INVALID', async () => {
    for (const token of [-1, 2 ** 31 - 1]) {
      const error = await failure(() => model.detokenize(Int32Array.of(token), false))
      expect(error).toMatchObject({ code: 'ERR_PROMPT_INVALID' })
    }
  })

  it('a request whose id is in flight is refused, and the first goes on', async () => {
    const request = {
      id: 7,
      principal: '',
      rerank: false,
      query: '',
      inputs: ['the quick fox'],
      normalize: true,
      truncate: false,
    }
    model.embed(request)
    expect(await failure(() => model.embed(request))).toMatchObject({ code: 'ERR_INTERNAL' })
    while (events.length < 6) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(events.filter((_, i) => i % 3 < 2)).toEqual([7, 4, 7, 5])
  })

  it('cancel and pause of an unknown request do nothing', () => {
    model.cancel(12345)
    model.pause(12345, true)
  })

  it('close() gives the same promise every time', () => {
    expect(model.close()).toBe(model.close())
  })
})

it.each([[-1], [5], [1.5], ['debug'], [undefined]])(
  'setLogLevel(%s) is ERR_OPTION_INVALID',
  async (level) => {
    expect(await failure(() => setLogLevel(level as never))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
    })
  },
)
