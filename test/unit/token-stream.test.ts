import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SottoError } from '../../lib/errors.js'
import { NativeDriver } from '../helpers/native-driver.js'

const unhandled: unknown[] = []
const onUnhandled = (reason: unknown) => unhandled.push(reason)

let driver: NativeDriver
beforeEach(() => {
  driver = new NativeDriver()
  unhandled.length = 0
  process.on('unhandledRejection', onUnhandled)
})
afterEach(async () => {
  await sleep(1)
  process.off('unhandledRejection', onUnhandled)
  expect(unhandled).toEqual([])
})

const begin = (signal?: AbortSignal) => driver.begin(signal)

async function read(stream: AsyncIterable<{ text: string }>): Promise<string[]> {
  const texts: string[] = []
  for await (const part of stream) texts.push(part.text)
  return texts
}

describe('reading', () => {
  test('for await gives one part an event, in order, whether they come singly or together', async () => {
    const stream = begin()
    const texts = read(stream)
    driver.texts('a')
    await sleep(1)
    driver.texts('b', 'c')
    driver.texts('d')
    driver.done()
    expect(await texts).toEqual(['a', 'b', 'c', 'd'])
  })

  test('a reader that comes late gets what it missed in one part', async () => {
    const stream = begin()
    driver.texts('a', 'b', 'c')
    const texts = read(stream)
    driver.texts('d')
    driver.done()
    expect(await texts).toEqual(['abc', 'd'])
  })

  test('a reader that comes after the end gets everything', async () => {
    const stream = begin()
    driver.texts('a', 'b')
    driver.done()
    expect(await read(stream)).toEqual(['ab'])
  })

  test('parts are there although the result was asked for first', async () => {
    const stream = begin()
    const { result } = stream
    driver.texts('a', 'b')
    const texts = read(stream)
    driver.texts('c')
    driver.done()
    expect(await texts).toEqual(['ab', 'c'])
    expect((await result).text).toBe('abc')
  })

  test('several calls of next() are answered in order', async () => {
    const iterator = begin()[Symbol.asyncIterator]()
    const steps = [iterator.next(), iterator.next(), iterator.next()]
    driver.texts('a', 'b')
    driver.done()
    expect(await Promise.all(steps)).toEqual([
      { value: { type: 'text', text: 'a' }, done: false },
      { value: { type: 'text', text: 'b' }, done: false },
      { value: undefined, done: true },
    ])
  })

  test('a second reader is refused with ERR_STREAM_LOCKED', async () => {
    const stream = begin()
    stream[Symbol.asyncIterator]()
    for (const again of [
      () => stream[Symbol.asyncIterator](),
      () => stream.toReadable(),
      () => stream.toReadableStream(),
    ]) {
      expect(again).toThrow(expect.objectContaining({ code: 'ERR_STREAM_LOCKED' }))
    }
  })

  test('leaving the loop cancels the request, and the result says abort', async () => {
    const stream = begin()
    driver.texts('a', 'b')
    for await (const _ of stream) break
    expect(driver.cancelled).toEqual([driver.lastId])
    driver.done({ finishReason: 'abort' })
    expect(await stream.result).toMatchObject({ finishReason: 'abort', text: 'ab' })
  })

  test('text() and result give the whole answer without a reader', async () => {
    const stream = begin()
    const text = stream.text()
    driver.texts('one ', 'two')
    driver.done({ stopString: '\n' })
    expect(await text).toBe('one two')
    expect(await stream.result).toEqual({
      text: 'one two',
      reasoning: '',
      toolCalls: [],
      finishReason: 'stop',
      stopString: '\n',
      usage: {
        tokensPrompt: 5,
        tokensGenerated: 11,
        tokensReused: 4,
        tokensDrafted: 6,
        tokensAccepted: 3,
      },
      timings: {
        queueMs: 1,
        promptMs: 2,
        firstTokenMs: 3,
        totalMs: 13,
        tokensPrompt: 5,
        tokensReused: 4,
        tokensGenerated: 11,
        tokensDrafted: 6,
        tokensAccepted: 3,
        tokensPerSecond: 1000,
      },
    })
  })

  test('toolCall parts have an empty text, so that whoever writes every text writes the answer', async () => {
    const stream = begin()
    driver.emit('toolCall', { index: 0, id: 'c', name: 'f', arguments: '{' })
    driver.texts('a')
    driver.emit('toolCall', { index: 0, id: '', name: '', arguments: '}' })
    driver.done()
    expect((await read(stream)).join('')).toBe('a')
    expect(await stream.result).toMatchObject({
      finishReason: 'toolCalls',
      toolCalls: [{ id: 'c', name: 'f', arguments: '{}' }],
    })
  })

  test('the log-probabilities of 20,000 tokens take no time that grows with their number', () => {
    begin()
    const start = performance.now()
    const entry = { token: 1, logprob: -1, bytes: Uint8Array.of(97), top: [] }
    for (let i = 0; i < 20_000; i++) {
      driver.emit('logprobs', [entry])
      driver.texts('a')
    }
    expect(performance.now() - start).toBeLessThan(1000)
  })

  test('log-probabilities come with the text of their tokens, also where it was held back', async () => {
    const stream = begin()
    const entry = (token: number) => ({
      token,
      logprob: -token,
      bytes: Uint8Array.of(97 + token),
      top: [{ token, logprob: -token, bytes: Uint8Array.of(97 + token) }],
    })
    const parts: { text: string; logprobs?: { text: string }[] }[] = []
    const reading = (async () => {
      for await (const part of stream) parts.push(part)
    })()
    driver.emit('logprobs', [entry(0)])
    driver.emit('logprobs', [entry(1)])
    driver.texts('ab')
    driver.emit('logprobs', [entry(2)])
    driver.done()
    await reading
    expect(parts.map(({ text, logprobs }) => [text, logprobs?.map((each) => each.text)])).toEqual([
      ['ab', ['a', 'b']],
      ['', ['c']],
    ])
    expect((await stream.result).logprobs?.map(({ token, top }) => [token, top[0]!.text])).toEqual([
      [0, 'a'],
      [1, 'b'],
      [2, 'c'],
    ])
  })
})

describe('failing', () => {
  test('an error reaches the reader once, after what came before it, as a SottoError with its code', async () => {
    const iterator = begin()[Symbol.asyncIterator]()
    driver.texts('a')
    driver.failed('ERR_DECODE_FAILED', 'the backend failed')
    expect(await iterator.next()).toEqual({ value: { type: 'text', text: 'a' }, done: false })
    const error = await iterator.next().catch((error) => error)
    expect(error).toBeInstanceOf(SottoError)
    expect(error).toMatchObject({ code: 'ERR_DECODE_FAILED', message: 'the backend failed' })
    expect(await iterator.next()).toEqual({ value: undefined, done: true })
  })

  test('a result that was asked for and never awaited is no unhandled rejection', async () => {
    const stream = begin()
    void stream.result
    const texts = read(stream)
    driver.failed('ERR_PROMPT_TOO_LONG')
    await expect(texts).rejects.toMatchObject({ code: 'ERR_PROMPT_TOO_LONG' })
    await expect(stream.result).rejects.toMatchObject({ code: 'ERR_PROMPT_TOO_LONG' })
  })
})

describe('aborting', () => {
  test('abort() ends the stream normally, with what is there', async () => {
    const stream = begin()
    const texts = read(stream)
    driver.texts('a')
    stream.abort()
    stream.abort()
    expect(driver.cancelled).toEqual([driver.lastId])
    driver.done({ finishReason: 'abort' })
    expect(await texts).toEqual(['a'])
    expect((await stream.result).finishReason).toBe('abort')
  })

  test('an AbortSignal does the same, and is let go of at the end', async () => {
    const controller = new AbortController()
    const stream = begin(controller.signal)
    driver.done()
    await stream.result
    controller.abort()
    expect(driver.cancelled).toEqual([])
    const other = new AbortController()
    begin(other.signal)
    other.abort()
    expect(driver.cancelled).toEqual([driver.lastId])
  })

  test('a signal that was aborted before ends the stream without native code', async () => {
    const stream = begin(AbortSignal.abort())
    expect(driver.submitted).toHaveLength(0)
    expect(await read(stream)).toEqual([])
    expect(await stream.result).toMatchObject({ finishReason: 'abort', text: '' })
  })

  test('one signal for a hundred streams is one listener, and no warning of a leak', async () => {
    const controller = new AbortController()
    const warnings: unknown[] = []
    const onWarning = (warning: unknown) => warnings.push(warning)
    process.on('warning', onWarning)
    for (let i = 0; i < 100; i++) begin(controller.signal)
    await sleep(1)
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
    controller.abort()
    expect(driver.cancelled).toEqual(driver.submitted)
  })

  test('await using aborts and waits for the end', async () => {
    const stream = begin()
    const disposed = stream[Symbol.asyncDispose]()
    expect(driver.cancelled).toEqual([driver.lastId])
    let over = false
    void disposed.then(() => {
      over = true
    })
    await sleep(1)
    expect(over).toBe(false)
    driver.done({ finishReason: 'abort' })
    await disposed
  })
})

describe('back-pressure', () => {
  const many = (count: number) => Array.from({ length: count }, () => 'x')

  test('more than 1,024 unread parts pause the request, fewer than 256 resume it', async () => {
    const iterator = begin()[Symbol.asyncIterator]()
    driver.texts(...many(1024))
    expect(driver.pauses).toEqual([])
    driver.texts('x')
    expect(driver.pauses).toEqual([[driver.lastId, true]])
    for (let i = 0; i < 1025 - 256; i++) await iterator.next()
    expect(driver.pauses).toHaveLength(1)
    await iterator.next()
    expect(driver.pauses).toEqual([
      [driver.lastId, true],
      [driver.lastId, false],
    ])
  })

  test('a stream that nobody reads pauses too, and flows once its result is asked for', async () => {
    const stream = begin()
    driver.texts(...many(1100))
    expect(driver.pauses).toEqual([[driver.lastId, true]])
    const { result } = stream
    expect(driver.pauses.at(-1)).toEqual([driver.lastId, false])
    driver.texts(...many(5000))
    driver.done()
    expect((await result).text).toHaveLength(6100)
    expect(driver.pauses).toHaveLength(2)
  })

  test('a paused stream that gets its reader goes on', async () => {
    const stream = begin()
    driver.texts(...many(1100))
    const texts = read(stream)
    expect(driver.pauses.at(-1)).toEqual([driver.lastId, false])
    driver.done()
    expect((await texts).join('')).toHaveLength(1100)
  })

  test('a long answer read by a slow reader arrives whole', async () => {
    const iterator = begin()[Symbol.asyncIterator]()
    let expected = ''
    let seen = ''
    for (let i = 0; i < 3000; i++) {
      driver.texts(`${i},`)
      expected += `${i},`
      if (i % 2 === 0) seen += (await iterator.next()).value!.text
    }
    driver.done()
    for (;;) {
      const step = await iterator.next()
      if (step.done) break
      seen += step.value.text
    }
    expect(seen).toBe(expected)
  })
})

describe('stream forms', () => {
  test('toReadableStream() gives the text as strings, and cancelling it cancels the request', async () => {
    const stream = begin()
    const reader = stream.toReadableStream().getReader()
    driver.texts('a', '')
    driver.texts('b')
    expect(await reader.read()).toEqual({ value: 'a', done: false })
    expect(await reader.read()).toEqual({ value: 'b', done: false })
    await reader.cancel()
    expect(driver.cancelled).toEqual([driver.lastId])
  })

  test('toReadable() gives the text as UTF-8, ends, and reports a failure', async () => {
    const readable = begin().toReadable()
    driver.texts('grü', 'ß')
    driver.done()
    const texts: string[] = []
    for await (const chunk of readable) texts.push(chunk)
    expect(texts.join('')).toBe('grüß')

    const failing = begin().toReadable()
    const caught = new Promise((resolve) => failing.once('error', resolve))
    failing.resume()
    driver.failed('ERR_DECODE_FAILED')
    expect(await caught).toMatchObject({ code: 'ERR_DECODE_FAILED' })
  })

  test('destroying toReadable() cancels the request', async () => {
    const readable = begin().toReadable()
    readable.resume()
    await sleep(1)
    readable.destroy()
    await sleep(1)
    expect(driver.cancelled).toEqual([driver.lastId])
  })
})

describe('collection', () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const collect = async () => {
    for (let i = 0; i < 5; i++) {
      await sleep(5)
      gc()
    }
  }

  test('a forgotten stream is cancelled', async () => {
    begin()
    await collect()
    expect(driver.cancelled).toEqual([driver.lastId])
  })

  test('a stream whose result somebody awaits is not', async () => {
    const { result } = begin()
    await collect()
    expect(driver.cancelled).toEqual([])
    driver.texts('a')
    driver.done()
    expect((await result).text).toBe('a')
  })

  test('a stream in a for await loop is not', async () => {
    const reading = (async () => read(begin()))()
    await collect()
    expect(driver.cancelled).toEqual([])
    driver.texts('a')
    driver.done()
    expect(await reading).toEqual(['a'])
  })
})
