import { once } from 'node:events'
import { copyFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { estimateModel, ModelManager, type ServePhase } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'
import { alone, greedy, heard, long, makeBroken, swapModels } from '../helpers/swap-models.js'

const { folder, one, two, three } = swapModels()
const short = { ...greedy, maxTokens: 20 }
const { total: size } = await estimateModel(one)

let manager: ModelManager
beforeEach(() => {
  manager = new ModelManager()
})
afterEach(() => manager.close())

/** A stream that goes on until it is read: its first part is read. */
async function held(name = 'chat') {
  const iterator = manager.complete(name, 'Once', long)[Symbol.asyncIterator]()
  const { value } = await iterator.next()
  const rest = async () => {
    let text = value!.text
    for (let step = await iterator.next(); !step.done; step = await iterator.next())
      text += step.value.text
    return text
  }
  return { rest, leave: () => iterator.return!() }
}

const only = () => manager.list()[0]!

describe('a name', () => {
  it('completes, chats, embeds and lends', async () => {
    await manager.load('chat', one)
    expect(await manager.complete('chat', 'Once', short).text()).toBe(
      await alone(one, 'Once', short),
    )
    const chat = manager.chat('chat', { system: 'x' })
    await chat.send('Hi', short).result
    expect(chat.history.map(({ role }) => role)).toEqual(['system', 'user', 'assistant'])
    expect(await manager.embed('chat', 'x')).toHaveLength(64)
    expect(await manager.embed('chat', ['x', 'y'])).toHaveLength(2)
    const lease = await manager.lease('chat')
    expect(await lease.model.countTokens('one two')).toBeGreaterThan(1)
    expect(only()).toMatchObject({ name: 'chat', source: one, state: 'ready', leases: 1 })
    expect(only().info!.path).toBe(one)
    expect(only().bytes).toBe(size)
    lease.release()
    expect(only().leases).toBe(0)
  })

  it('serves models that only embed or rank', async () => {
    await manager.load('vectors', inject('models').bert)
    await manager.load('ranks', inject('models').rerank)
    expect(await manager.embed('vectors', 'one')).toHaveLength(32)
    const ranked = await manager.rerank('ranks', 'one', ['two', 'one'])
    expect(ranked).toHaveLength(2)
  })

  it('is new in load, known everywhere else', async () => {
    await manager.load('chat', one)
    await expectCode('ERR_NAME_TAKEN', () => manager.load('chat', two))
    const error = await expectCode('ERR_NAME_UNKNOWN', () => manager.swap('chta', two))
    expect(error.message).toContain('chat')
    await expectCode('ERR_NAME_UNKNOWN', () => manager.unload('no'))
    await expectCode('ERR_NAME_UNKNOWN', () => manager.lease('no'))
    await expectCode('ERR_NAME_UNKNOWN', () => manager.complete('no', 'x'))
    await expectCode('ERR_NAME_UNKNOWN', () => manager.chat('no'))
    await expectCode('ERR_NAME_UNKNOWN', () => manager.embed('no', 'x'))
    await expectCode('ERR_OPTION_INVALID', () => manager.load('', one))
    await expectCode('ERR_OPTION_INVALID', () => manager.load('x', ''))
    await expectCode('ERR_OPTION_INVALID', () => manager.load('x', one, { idleTimeout: -1 }))
    await expectCode('ERR_OPTION_INVALID', () => manager.swap('chat', one, { contextSize: 0.5 }))
    await expectCode('ERR_OPTION_UNKNOWN', () =>
      manager.load('x', one, { contextsize: 1 } as never),
    )
    await expectCode('ERR_OPTION_UNKNOWN', () => new ModelManager({ memorybudget: 1 } as never))
    await expectCode('ERR_OPTION_INVALID', () => new ModelManager({ memoryBudget: 0 }))
    expect(manager.list().map(({ name }) => name)).toEqual(['chat'])
  })

  it('whose first load fails is free again, and who waited for it hears why', async () => {
    const loading = manager.load('chat', '/missing.gguf')
    const waiting = manager.complete('chat', 'Once', short).result
    await expectCode('ERR_MODEL_NOT_FOUND', () => loading)
    await expectCode('ERR_MODEL_NOT_FOUND', () => waiting)
    await manager.load('chat', one)
  })

  it('answers who asked before it was loaded', async () => {
    const loading = manager.load('chat', one)
    const early = manager.complete('chat', 'Once', short)
    expect(await early.text()).toBe(await alone(one, 'Once', short))
    await loading
  })

  it('takes back what is aborted before there is a model', async () => {
    const controller = new AbortController()
    const loading = manager.load('chat', one)
    const given = manager.complete('chat', 'Once', { ...long, signal: controller.signal })
    const called = manager.complete('chat', 'Once', long)
    const embedding = manager.embed('chat', 'x', { signal: controller.signal })
    const lease = manager.lease('chat', { signal: controller.signal })
    const late = manager.complete('chat', 'Once', { ...long, signal: AbortSignal.abort() })
    controller.abort()
    called.abort()
    for (const stream of [given, called, late])
      expect(await stream.result).toMatchObject({ finishReason: 'abort', text: '' })
    await expectCode('ERR_ABORTED', () => embedding)
    await expectCode('ERR_ABORTED', () => lease)
    await loading
    expect(only()).toMatchObject({ busy: false, leases: 0 })
  })
})

describe('a swap', () => {
  beforeEach(() => manager.load('chat', one))

  it('lets running answers end on the old model, runs new ones on the new, then frees the old', async () => {
    const said = heard(manager)
    const old = await held()
    const { drained } = await manager.swap('chat', two)
    expect(only()).toMatchObject({ source: two, retiring: 1 })
    expect(manager.memory.used).toBe(2 * size)
    expect(await manager.complete('chat', 'Once', short).text()).toBe(
      await alone(two, 'Once', short),
    )
    expect(said).not.toContain('drained one')
    expect(await old.rest()).toBe(await alone(one, 'Once', long))
    await drained
    expect(only().retiring).toBe(0)
    expect(manager.memory.used).toBe(size)
    expect(said).toEqual([
      ...[
        'loading two',
        'loaded two',
        'warming two',
        'switched two',
        'drained one',
        'unloaded one',
      ],
    ])
  })

  it('lets a prompt that is being processed end on the old model', async () => {
    const prompt = 'word '.repeat(600)
    const prefilling = manager.complete('chat', prompt, short)
    const { drained } = await manager.swap('chat', two)
    const next = manager.complete('chat', prompt, short)
    expect(await prefilling.text()).toBe(await alone(one, prompt, short))
    expect(await next.text()).toBe(await alone(two, prompt, short))
    await drained
  })

  it('waits for another of the same name, in the order of the calls', async () => {
    const said = heard(manager)
    const first = manager.swap('chat', two)
    const second = manager.swap('chat', three)
    const third = manager.swap('chat', one, { contextSize: 1024 })
    await Promise.all((await Promise.all([first, second, third])).map(({ drained }) => drained))
    expect(said.filter((line) => line.startsWith('switched'))).toEqual([
      ...['switched two', 'switched three', 'switched one'],
    ])
    expect(only().info!.contextSize).toBe(1024)
    expect(manager.memory.used).toBe(only().bytes)
  })

  it('carries a conversation to the new model', async () => {
    const chat = manager.chat('chat', { system: 'Be brief.' })
    const turn = chat.send('One', { ...greedy, maxTokens: 30 })
    await manager.swap('chat', two)
    const { text: before } = await turn.result
    const { text: after } = await chat.fork().send('Two', short).result
    await chat.send('Two', short).result
    expect(chat.history.map(({ content }) => content)).toEqual([
      ...['Be brief.', 'One', before, 'Two', after],
    ])
    const lease = await manager.lease('chat')
    const again = lease.model.chat({ messages: chat.history.slice(0, 3) }).send('Two', short)
    expect((await again.result).text).toBe(after)
    lease.release()
  })

  it('leaves a model that is leased alive until the lease and what was begun with it end', async () => {
    const lease = await manager.lease('chat')
    const { drained } = await manager.swap('chat', two)
    let free = false
    void drained.then(() => {
      free = true
    })
    expect(lease.source).toBe(one)
    const stream = lease.model.complete('Once', { ...greedy, maxTokens: 500 })
    lease.release()
    lease.release()
    await expectCode('ERR_MODEL_CLOSED', () => lease.model.complete('Once'))
    expect(free).toBe(false)
    expect(await stream.text()).toBe(await alone(one, 'Once', { ...greedy, maxTokens: 500 }))
    await drained
  })

  it('keeps what is of the name, and takes what is of the model from its own options', async () => {
    await manager.swap('chat', two, { contextSize: 512, idleTimeout: 0, onDemand: false })
    await manager.swap('chat', three)
    expect(only().info!.contextSize).toBe(4096)
    await once(manager, 'unloaded') // two's
    if (manager.list().length > 0) await once(manager, 'unloaded')
    expect(manager.list()).toEqual([])
  })

  it('tells its progress', async () => {
    const phases = new Map<ServePhase, number>()
    const events: number[] = []
    manager.on('progress', ({ fraction }) => events.push(fraction))
    const onProgress = (progress: { phase: ServePhase; fraction: number }) =>
      phases.set(progress.phase, progress.fraction)
    await manager.swap('chat', two, { onProgress })
    expect([...phases]).toEqual([
      ['loading', 1],
      ['warming', 1],
    ])
    expect(events.length).toBeGreaterThan(2)
  })

  it('that is aborted while it loads, warms or waits leaves the old model serving', async () => {
    for (const when of ['loading', 'warming'] as const) {
      const controller = new AbortController()
      await expectCode('ERR_ABORTED', () =>
        manager.swap('chat', two, {
          signal: controller.signal,
          onProgress: ({ phase }) => phase === when && controller.abort(),
        }),
      )
    }
    await expectCode('ERR_ABORTED', () =>
      manager.swap('chat', two, { signal: AbortSignal.abort() }),
    )
    const waiting = new AbortController()
    const inFront = manager.swap('chat', three)
    const behind = manager.swap('chat', two, { signal: waiting.signal })
    waiting.abort()
    await expectCode('ERR_ABORTED', () => behind)
    await inFront
    expect(only().source).toBe(three)
    expect(manager.memory.used).toBeLessThanOrEqual(2 * size)
  })

  it('to a missing, damaged or speechless model leaves the old one serving, and says so', async () => {
    const cut = join(folder, 'cut.gguf')
    copyFileSync(one, cut)
    truncateSync(cut, 100_000)
    const failures: unknown[] = []
    manager.on('failed', ({ error, serving }) =>
      failures.push([(error as { code?: string }).code, serving]),
    )
    const running = await held()
    await expectCode('ERR_MODEL_NOT_FOUND', () => manager.swap('chat', '/missing.gguf'))
    await expectCode('ERR_MODEL_FORMAT', () => manager.swap('chat', cut))
    await expectCode('ERR_DECODE_FAILED', () =>
      manager.swap('chat', makeBroken(join(folder, 'nan.gguf'))),
    )
    expect(failures).toEqual([
      ['ERR_MODEL_NOT_FOUND', one],
      ['ERR_MODEL_FORMAT', one],
      ['ERR_DECODE_FAILED', one],
    ])
    expect(only()).toMatchObject({ source: one, state: 'ready', retiring: 0 })
    expect(manager.memory.used).toBe(size)
    expect(await running.rest()).toBe(await alone(one, 'Once', long))
  })

  it('whose onProgress throws rejects with what it threw', async () => {
    const onProgress = () => {
      throw new RangeError('deliberate')
    }
    await expect(manager.swap('chat', two, { onProgress })).rejects.toThrow('deliberate')
    expect(only().source).toBe(one)
  })
})

describe('unloading', () => {
  it('lets answers end, and refuses new ones', async () => {
    await manager.load('chat', one)
    const old = await held()
    const chat = manager.chat('chat')
    const gone = manager.unload('chat')
    await new Promise(setImmediate)
    await expectCode('ERR_NAME_UNKNOWN', () => manager.complete('chat', 'x'))
    await expectCode('ERR_NAME_UNKNOWN', () => chat.send('x'))
    expect(await old.rest()).toBe(await alone(one, 'Once', long))
    await gone
    expect(manager.list()).toEqual([])
    expect(manager.memory.used).toBe(0)
  })

  it('ends answers that it is told not to wait for', async () => {
    await manager.load('chat', one)
    const before = await held()
    await manager.swap('chat', two)
    const running = await held()
    await manager.unload('chat', { drain: false })
    await expectCode('ERR_MODEL_CLOSED', () => before.rest())
    await expectCode('ERR_MODEL_CLOSED', () => running.rest())
    expect(manager.memory.used).toBe(0)
  })

  it('races new requests: each is answered in full, or refused', async () => {
    const expected = await alone(one, 'Once', short)
    const ends = new Set<string>()
    for (let round = 0; round < 12; round++) {
      await manager.load('chat', one)
      const asked: Promise<void>[] = []
      const tryIt = () => {
        try {
          const text = manager.complete('chat', 'Once', short).text()
          const end = text.then((all) => (all === expected ? 'whole' : all))
          asked.push(end.catch((error) => error.code).then((it) => void ends.add(it)))
        } catch (error) {
          ends.add((error as { code: string }).code)
        }
      }
      tryIt()
      const gone = manager.unload('chat')
      for (let i = 0; i < 6; i++) {
        tryIt()
        if (i % 2) await Promise.resolve()
        else await new Promise(setImmediate)
      }
      await Promise.all(asked)
      await gone
    }
    expect([...ends].sort()).toEqual(['ERR_NAME_UNKNOWN', 'whole'])
  })

  it('stands in line behind a swap, and a load under the name may follow at once', async () => {
    await manager.load('chat', one)
    const swap = manager.swap('chat', two)
    const gone = manager.unload('chat')
    await swap
    await gone
    await manager.load('chat', three)
    expect(only().source).toBe(three)
  })
})

describe('close()', () => {
  it('ends what runs, loads and waits, twice too', async () => {
    await manager.load('chat', one)
    await manager.load('other', two)
    const running = await held()
    const lease = await manager.lease('other')
    const ends = [
      manager.swap('chat', three),
      manager.swap('chat', two),
      manager.load('third', inject('models').real),
      manager.unload('other'),
    ].map((call) =>
      call.then(
        () => 'done',
        (error) => error.code,
      ),
    )
    const waiting = manager.complete('third', 'x').result.catch((error) => error.code)
    await Promise.all([manager.close(), manager.close()])
    const codes = await Promise.all(ends)
    expect(codes.slice(0, 3)).toEqual(Array(3).fill('ERR_MANAGER_CLOSED'))
    expect(await waiting).toBe('ERR_MANAGER_CLOSED')
    await expectCode('ERR_MODEL_CLOSED', () => running.rest())
    await expectCode('ERR_MODEL_CLOSED', () => lease.model.complete('x').result)
    lease.release()
    expect(manager.memory.used).toBe(0)
    await expectCode('ERR_MANAGER_CLOSED', () => manager.load('x', one))
    await expectCode('ERR_MANAGER_CLOSED', () => manager.complete('chat', 'x'))
    await manager.close()
  })

  it('at any moment of a swap', async () => {
    for (const moment of ['loading', 'loaded', 'warming', 'switched'] as const) {
      const its = new ModelManager()
      await its.load('chat', one)
      let closing: Promise<void> | undefined
      its.once(moment, () => {
        closing = its.close()
      })
      const code = await its.swap('chat', two).then(
        () => 'done',
        (error) => error.code,
      )
      expect(code).toBe(moment === 'switched' ? 'done' : 'ERR_MANAGER_CLOSED')
      await closing
      expect(its.memory.used).toBe(0)
    }
  })
})
