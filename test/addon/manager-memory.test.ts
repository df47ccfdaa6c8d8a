import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { estimateModel, type ManagerOptions, ModelManager } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'
import { alone, greedy, heard, long, makeBroken, swapModels } from '../helpers/swap-models.js'

const { folder, one, two, three } = swapModels()
const short = { ...greedy, maxTokens: 20 }
const { total: size } = await estimateModel(one)

let manager: ModelManager
let said: string[]
afterEach(() => manager.close())

/** Room for so many models of this size. */
function room(models: number, options: ManagerOptions = {}) {
  manager = new ModelManager({ memoryBudget: size * (models + 0.5), ...options })
  said = heard(manager)
}
const states = () => Object.fromEntries(manager.list().map(({ name, state }) => [name, state]))
const settled = () => new Promise((resolve) => setTimeout(resolve, 20))

describe('within a memory budget', () => {
  it('idle models go, least recently used first, and come back when they are used', async () => {
    room(2)
    await manager.load('one', one)
    await manager.load('two', two)
    await manager.complete('one', 'Once', short).result
    await manager.load('three', three)
    await settled()
    expect(states()).toEqual({ one: 'ready', two: 'unloaded', three: 'ready' })
    expect(await manager.complete('two', 'Once', short).text()).toBe(
      await alone(two, 'Once', short),
    )
    await settled()
    expect(states()).toEqual({ one: 'unloaded', two: 'ready', three: 'ready' })
    expect(said.filter((line) => line.startsWith('evicted'))).toEqual([
      'evicted two',
      'evicted one',
    ])
    expect(manager.memory.used).toBe(2 * size)
  })

  it('what is in use or to be kept stays, and the error has the numbers', async () => {
    room(2)
    await manager.load('one', one, { keep: true })
    await manager.load('two', two)
    const lease = await manager.lease('two')
    const error = await expectCode('ERR_MODEL_MEMORY', () => manager.load('three', three))
    const mib = (models: number) => `${((models * size) / 2 ** 20).toFixed(models > 1 ? 0 : 1)} MiB`
    expect(error.message).toContain(
      `budget of ${mib(2.5)}, of which ${mib(2)} are taken by one ${mib(1)} (keep), two ${mib(1)} (busy); it needs about ${mib(1)}`,
    )
    expect(said).not.toContain('loaded three')
    lease.release()
    await manager.load('three', three)
    await settled()
    expect(states()).toEqual({ one: 'ready', two: 'unloaded', three: 'ready' })
  })

  it('a model that can never fit fails at once, and nothing is unloaded for it', async () => {
    room(2)
    await manager.load('one', one)
    await expectCode('ERR_MODEL_MEMORY', () =>
      manager.load('two', two, { contextSize: 65536, whenFull: 'drain' }),
    )
    await manager.load('kept', two, { keep: true })
    await expectCode('ERR_MODEL_MEMORY', () =>
      manager.load('two', two, { contextSize: 8192, batchSize: 4096, whenFull: 'drain' }),
    )
    await settled()
    expect(states()).toEqual({ one: 'ready', kept: 'ready' })
  })

  it('a name that does not come back on demand is gone with its model', async () => {
    room(1)
    await manager.load('one', one, { onDemand: false })
    await manager.load('two', two)
    expect(Object.keys(states())).toEqual(['two'])
    await expectCode('ERR_NAME_UNKNOWN', () => manager.complete('one', 'Once'))
    await manager.load('one', one)
  })

  it('a model that was unloaded and cannot be loaded any more fails who asks, each time', async () => {
    room(1)
    await manager.load('one', one)
    await manager.load('two', two, { keep: true })
    await expectCode('ERR_MODEL_MEMORY', () => manager.complete('one', 'Once').result)
    await expectCode('ERR_MODEL_MEMORY', () => manager.embed('one', 'x'))
    await manager.unload('two')
    expect(await manager.embed('one', 'x')).toHaveLength(64)
  })

  it('two names that take turns in room for one are both answered', async () => {
    room(1, {})
    await manager.load('one', one, { whenFull: 'drain' })
    await manager.load('two', two, { whenFull: 'drain' })
    const asked = Array.from({ length: 12 }, (_, i) => (i % 2 ? 'one' : 'two')).map((name) =>
      manager.complete(name, 'Once', short).text(),
    )
    const expected = [await alone(two, 'Once', short), await alone(one, 'Once', short)]
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 12 }, (_, i) => expected[i % 2]))
    expect(manager.memory.used).toBe(size)
  })
})

describe('a swap that has no room beside the old model', () => {
  it('fails, and the old one serves on', async () => {
    room(1)
    await manager.load('chat', one)
    const error = await expectCode('ERR_MODEL_MEMORY', () => manager.swap('chat', two))
    expect(error.message).toContain("whenFull: 'drain'")
    expect(await manager.complete('chat', 'Once', short).text()).toBe(
      await alone(one, 'Once', short),
    )
  })

  it('drains it first where the caller says so; who comes meanwhile is answered by the new one', async () => {
    room(1)
    await manager.load('chat', one)
    const running = manager.complete('chat', 'Once', { ...greedy, maxTokens: 1000 })
    const draining = new Promise<void>((resolve) => {
      void manager
        .swap('chat', two, {
          whenFull: 'drain',
          onProgress: ({ phase }) => phase === 'draining' && resolve(),
        })
        .then(({ drained }) => drained)
    })
    await draining
    const waiting = manager.complete('chat', 'Once', short)
    const lease = manager.lease('chat')
    expect(await running.text()).toBe(await alone(one, 'Once', { ...greedy, maxTokens: 1000 }))
    expect(await waiting.text()).toBe(await alone(two, 'Once', short))
    expect((await lease).source).toBe(two)
    ;(await lease).release()
    expect(said).toEqual([
      ...['loading one', 'loaded one', 'warming one', 'switched one'],
      ...[
        'loading two',
        'drained one',
        'unloaded one',
        'loaded two',
        'warming two',
        'switched two',
      ],
    ])
    expect(manager.memory.used).toBe(size)
  })

  it('brings the old one back where the new one fails then', async () => {
    room(1)
    await manager.load('chat', one)
    const broken = makeBroken(`${folder}/broken.gguf`)
    const swap = manager.swap('chat', broken, { whenFull: 'drain' })
    await once(manager, 'drained')
    const waiting = manager.complete('chat', 'Once', short).text()
    await expectCode('ERR_DECODE_FAILED', () => swap)
    expect(await waiting).toBe(await alone(one, 'Once', short))
    expect(said.slice(4)).toEqual([
      ...['loading broken', 'drained one', 'unloaded one', 'loaded broken', 'warming broken'],
      ...['failed broken', 'loading one', 'loaded one', 'warming one', 'switched one'],
    ])
  })

  it('goes back to the old one when it is aborted while that drains, or after', async () => {
    room(1)
    await manager.load('chat', one)
    const iterator = manager.complete('chat', 'Once', long)[Symbol.asyncIterator]()
    await iterator.next()
    const controller = new AbortController()
    const swap = manager.swap('chat', two, {
      whenFull: 'drain',
      signal: controller.signal,
      onProgress: () => setImmediate(() => controller.abort()),
    })
    await expectCode('ERR_ABORTED', () => swap)
    expect(await manager.complete('chat', 'Once', short).text()).toBe(
      await alone(one, 'Once', short),
    )
    await iterator.return!()
    const later = new AbortController()
    await expectCode('ERR_ABORTED', () =>
      manager.swap('chat', two, {
        whenFull: 'drain',
        signal: later.signal,
        onProgress: ({ phase }) => phase === 'warming' && later.abort(),
      }),
    )
    expect(manager.list()[0]).toMatchObject({ source: one, state: 'ready' })
    expect(manager.memory.used).toBe(size)
  })

  it('closes in the middle of it', async () => {
    room(1)
    await manager.load('chat', one)
    const iterator = manager.complete('chat', 'Once', long)[Symbol.asyncIterator]()
    await iterator.next()
    const swap = manager.swap('chat', two, { whenFull: 'drain' }).catch((error) => error.code)
    await settled()
    await manager.close()
    expect(await swap).toBe('ERR_MANAGER_CLOSED')
    expect(manager.memory.used).toBe(0)
  })
})

describe('an idle model', () => {
  it('is unloaded after its time, and comes back', async () => {
    room(2, { idleTimeout: 30 })
    await manager.load('chat', one)
    const unloaded = await once(manager, 'unloaded')
    expect(unloaded[0]).toEqual({ name: 'chat', source: one, reason: 'idle' })
    await settled()
    expect(manager.list()).toEqual([expect.objectContaining({ state: 'unloaded', bytes: 0 })])
    const again = once(manager, 'unloaded')
    expect(await manager.complete('chat', 'Once', short).text()).toBe(
      await alone(one, 'Once', short),
    )
    await again
  })

  it('is not idle while somebody has it, and never where it is to be kept', async () => {
    room(5, { idleTimeout: 0 })
    await manager.load('kept', one, { keep: true })
    await manager.load('never', two, { idleTimeout: Number.POSITIVE_INFINITY })
    const lease = await manager
      .load('chat', three, { idleTimeout: 1000 })
      .then(() => manager.lease('chat'))
    await manager.swap('chat', three, { idleTimeout: 0 })
    const second = await manager.lease('chat')
    await settled()
    expect(states()).toEqual({ kept: 'ready', never: 'ready', chat: 'ready' })
    const gone = once(manager, 'unloaded')
    lease.release()
    second.release()
    await gone
  })

  it('is loaded once for all who ask for it at the same time', async () => {
    room(1, { idleTimeout: 20 })
    await manager.load('chat', one)
    await once(manager, 'unloaded')
    await settled()
    said.length = 0
    const texts = Array.from({ length: 8 }, () => manager.complete('chat', 'Once', short).text())
    expect(new Set(await Promise.all(texts)).size).toBe(1)
    expect(said.filter((line) => line === 'loaded one')).toHaveLength(1)
  })
})
