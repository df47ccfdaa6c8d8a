// token-stream.ts: one answer on its way, in every form its readers know. A thin face: what it knows is in AnswerFeed, so
// that a stream nobody can reach any more is collected, and its request with it.

import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import type { ChatPart, StreamResult, TextPart } from './answer.js'
import type { AnswerFeed } from './answer-feed.js'
import { SottoError } from './errors.js'

export type {
  ChatPart,
  FinishReason,
  ReasoningPart,
  StreamResult,
  TextPart,
  Timings,
  TokenLogprob,
  TokenLogprobs,
  ToolCall,
  ToolCallPart,
  Usage,
} from './answer.js'

const forgotten = new FinalizationRegistry<AnswerFeed>((feed) => feed.abandon())

/**
 * One answer on its way. Read it once, in one of these forms:
 *
 * - `for await (const part of stream)`: the parts as they come; leaving the loop ends the request;
 * - `await stream.result`: the whole answer with usage and timings; also after the loop;
 * - `await stream.text()`: the text alone;
 * - `stream.toReadableStream()`, `stream.toReadable()`: the text as a web stream or a Node stream.
 *
 * An aborted stream ends normally with `finishReason: 'abort'`. A failed one throws a {@link SottoError} to its reader and
 * rejects `result`. A reader that falls more than 1,024 parts behind pauses its own request until it has caught up; other
 * requests go on. A stream that is dropped unread, and whose `result` nobody asked for, is cancelled when it is collected.
 *
 * @example
 * ```ts
 * import { loadModel } from 'sotto'
 * await using model = await loadModel('smollm2-135m-instruct')
 * const stream = model.complete('Once upon a time', { maxTokens: 16 })
 * for await (const { text } of stream) process.stdout.write(text)
 * const { finishReason, usage } = await stream.result
 * console.log(finishReason, usage.tokensGenerated)
 * ```
 */
export class TokenStream<Part extends ChatPart = TextPart>
  implements AsyncIterable<Part, undefined, undefined>, AsyncDisposable
{
  readonly #feed: AnswerFeed

  /** @internal Streams come from Model.complete and Chat.send. */
  constructor(feed: AnswerFeed) {
    this.#feed = feed
    forgotten.register(this, feed)
  }

  /**
   * The parts, as they come. Whoever starts late gets what was missed in one part a kind.
   *
   * @throws {SottoError} ERR_STREAM_LOCKED when the stream has a reader already.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Part, undefined, undefined> {
    if (!this.#feed.attach()) {
      throw new SottoError(
        'ERR_STREAM_LOCKED',
        'Expected a stream without a reader, received one that is being read: read it once and keep what you need, or use stream.result',
      )
    }
    return new PartIterator<Part>(this.#feed, this)
  }

  /**
   * Resolves when the answer has ended, whichever way; rejects when it failed. Without a reader the answer flows to its end;
   * with one it advances as far as it is read.
   *
   * @example
   * ```ts
   * const { text, finishReason, timings } = await model.complete('2 + 2 =', { maxTokens: 4 }).result
   * ```
   */
  get result(): Promise<StreamResult> {
    return this.#feed.result
  }

  /**
   * The whole text, once it is there.
   *
   * @example
   * ```ts
   * const text = await model.complete('Once upon a time', { maxTokens: 16 }).text()
   * ```
   */
  async text(): Promise<string> {
    return (await this.result).text
  }

  /**
   * The text as a web stream of strings, without reasoning and tool calls. Cancelling it ends the request.
   *
   * @throws {SottoError} ERR_STREAM_LOCKED when the stream has a reader already.
   *
   * @example
   * ```ts
   * const body = model.complete('Once upon a time').toReadableStream().pipeThrough(new TextEncoderStream())
   * return new Response(body, { headers: { 'content-type': 'text/plain; charset=utf-8' } })
   * ```
   */
  toReadableStream(): ReadableStream<string> {
    const pieces = this.#pieces()
    return new ReadableStream<string>(
      {
        async pull(controller) {
          const { value, done } = await pieces.next()
          if (done) controller.close()
          else controller.enqueue(value)
        },
        cancel: () => pieces.leave(),
      },
      { highWaterMark: 0 },
    )
  }

  /**
   * The text as a Node stream of UTF-8, without reasoning and tool calls. Destroying it ends the request.
   *
   * @throws {SottoError} ERR_STREAM_LOCKED when the stream has a reader already.
   *
   * @example
   * ```ts
   * model.complete('Once upon a time').toReadable().pipe(process.stdout)
   * ```
   */
  toReadable(): Readable {
    const pieces = this.#pieces()
    return new Readable({
      encoding: 'utf8',
      read() {
        pieces.next().then(
          ({ value, done }) => this.push(done ? null : value, 'utf8'),
          (error) => this.destroy(error),
        )
      },
      destroy(error, callback) {
        pieces.leave()
        callback(error)
      },
    })
  }

  /** Ends the request within a token, or within a chunk of its prompt. What is there stays readable. May be called twice. */
  abort(): void {
    this.#feed.cancel()
  }

  /** Aborts, and resolves when the request has left the model. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    await this.result.catch(() => {})
  }

  /** Eager, so that the lock is taken where the caller sees it. */
  #pieces(): PieceReader {
    return new PieceReader(this[Symbol.asyncIterator]())
  }
}

class PartIterator<Part> implements AsyncIterableIterator<Part, undefined, undefined> {
  readonly #feed: AnswerFeed
  /** Keeps the stream from being collected while somebody may still call next(). */
  readonly stream: unknown

  constructor(feed: AnswerFeed, stream: unknown) {
    this.#feed = feed
    this.stream = stream
  }

  next(): Promise<IteratorResult<Part, undefined>> {
    return this.#feed.read() as Promise<IteratorResult<Part, undefined>>
  }

  return(): Promise<IteratorResult<Part, undefined>> {
    this.#feed.leave()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** The texts of an answer that are not empty. */
class PieceReader {
  readonly #parts: AsyncIterableIterator<{ type: string; text: string }, undefined>

  constructor(parts: AsyncIterableIterator<{ type: string; text: string }, undefined>) {
    this.#parts = parts
  }

  async next(): Promise<IteratorResult<string, undefined>> {
    for (;;) {
      const step = await this.#parts.next()
      if (step.done) return step
      const { type, text } = step.value
      if (type === 'text' && text !== '') return { value: text, done: false }
    }
  }

  leave(): void {
    this.#parts.return?.()
  }
}
