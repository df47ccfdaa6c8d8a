// token-stream.ts: one answer, in every form its readers know: async iterable, web and Node streams, text, result.
// RequestState is the side that events reach; TokenStream is the side that users hold. The state never refers to the stream,
// so that a stream nobody holds can be collected, and its request cancelled.

import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { type ErrorCode, SottoError } from './errors.js'
import {
  NativeEventKind,
  type NativeLogprobs,
  type NativeModel,
  type NativeResult,
} from './native.js'

/** A token and its log-probability: natural logarithm of the softmax over the raw logits, before any sampler. */
export interface TokenLogprob {
  token: number
  logprob: number
  /** The token's own bytes, possibly part of a character. */
  bytes: Uint8Array
}

export interface TokenLogprobs extends TokenLogprob {
  /** The most likely tokens, best first, as many as `logprobs` asked for. */
  top: TokenLogprob[]
}

export interface TextPart {
  type: 'text'
  /** Whole characters, never part of a stop string. One or more tokens, depending on how fast the reader is. */
  text: string
  /** Of the tokens of this part, when `logprobs` was asked for. */
  logprobs?: TokenLogprobs[]
}
export interface ReasoningPart {
  type: 'reasoning'
  text: string
}
export interface ToolCallPart {
  type: 'toolCall'
  /** Which of the answer's tool calls this is a piece of, from 0. */
  index: number
  /** Set in the first piece. */
  id: string
  /** Set in the first piece. */
  name: string
  /** The next piece of the arguments' JSON text. */
  arguments: string
}
export type ChatPart = TextPart | ReasoningPart | ToolCallPart

export interface ToolCall {
  id: string
  name: string
  /** JSON text, as the model wrote it. */
  arguments: string
}

/**
 * Why an answer ended: `stop` the model ended it or a stop string did, `length` maxTokens, `abort` the caller,
 * `context` no room for another token, `toolCalls` the model calls tools and waits for their results.
 */
export type FinishReason = 'stop' | 'length' | 'abort' | 'context' | 'toolCalls'

export interface Usage {
  tokensPrompt: number
  /** Of the prompt's tokens, those found in the KV cache. */
  tokensReused: number
  tokensGenerated: number
}

/** Milliseconds. */
export interface Timings {
  queueMs: number
  promptMs: number
  /** From the call to the first token. 0: there was none. */
  firstTokenMs: number
  totalMs: number
  /** Generation speed after the first token. 0: fewer than two tokens. */
  tokensPerSecond: number
}

export interface StreamResult {
  text: string
  reasoning: string
  toolCalls: ToolCall[]
  finishReason: FinishReason
  /** The stop string that ended the text, which does not contain it. */
  stopString?: string
  usage: Usage
  timings: Timings
  /** Of every generated token, when `logprobs` was asked for. */
  logprobs?: TokenLogprobs[]
}

// A reader this far behind holds its own sequence back; one that has caught up to this lets it go on.
const highWater = 1024
const lowWater = 256

interface Waiting<Part> {
  resolve(result: IteratorResult<Part, undefined>): void
  reject(error: unknown): void
}

/** @internal What native events do to one request. */
export class RequestState<Part extends ChatPart = ChatPart> {
  readonly result: Promise<StreamResult>
  /** Keeps the stream from being collected while somebody awaits its result. */
  keepAlive: unknown
  reading = false
  finished = false
  /** Nobody reads piece by piece: pieces are not kept. */
  flowing = false

  readonly #native: NativeModel
  readonly #id: number
  readonly #onEnd: ((result: StreamResult | undefined) => void) | undefined
  #resolve!: (result: StreamResult) => void
  #reject!: (error: unknown) => void
  #queue: Part[] = []
  #head = 0
  #waiting: Waiting<Part> | undefined
  #error: SottoError | undefined
  #paused = false
  #text = ''
  #reasoning = ''
  #toolCalls: ToolCall[] = []
  #logprobs: TokenLogprobs[] | undefined
  #partLogprobs: TokenLogprobs[] | undefined
  #signal: AbortSignal | undefined
  readonly #onAbort = () => this.cancel()

  constructor(
    native: NativeModel,
    id: number,
    signal: AbortSignal | undefined,
    onEnd?: (result: StreamResult | undefined) => void,
  ) {
    this.#native = native
    this.#id = id
    this.#onEnd = onEnd
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Who only iterates sees the failure there; it must not count as unhandled here.
    this.result.catch(() => {})
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  cancel(): void {
    if (!this.finished) this.#native.cancel(this.#id)
  }

  accept(kind: number, payload: unknown): void {
    switch (kind) {
      case NativeEventKind.text: {
        const part: TextPart = { type: 'text', text: payload as string }
        if (this.#partLogprobs) {
          part.logprobs = this.#partLogprobs
          this.#partLogprobs = undefined
        }
        this.#text += part.text
        this.#give(part as Part)
        return
      }
      case NativeEventKind.reasoning:
        this.#reasoning += payload as string
        this.#give({ type: 'reasoning', text: payload as string } as Part)
        return
      case NativeEventKind.toolCall:
        this.#acceptToolCall(payload as Omit<ToolCallPart, 'type'>)
        return
      case NativeEventKind.logprobs: {
        const logprobs = payload as NativeLogprobs[]
        this.#logprobs = (this.#logprobs ?? []).concat(logprobs)
        this.#partLogprobs = (this.#partLogprobs ?? []).concat(logprobs)
        return
      }
      case NativeEventKind.done:
        this.finish(payload as NativeResult)
        return
      case NativeEventKind.failed: {
        const { code, message } = payload as { code: ErrorCode; message: string }
        this.fail(new SottoError(code, message))
        return
      }
    }
  }

  #acceptToolCall(piece: Omit<ToolCallPart, 'type'>): void {
    this.#toolCalls[piece.index] ??= { id: '', name: '', arguments: '' }
    const call = this.#toolCalls[piece.index]!
    call.id ||= piece.id
    call.name ||= piece.name
    call.arguments += piece.arguments
    this.#give({ type: 'toolCall', ...piece } as Part)
  }

  #give(part: Part): void {
    if (this.#waiting) {
      const { resolve } = this.#waiting
      this.#waiting = undefined
      resolve({ value: part, done: false })
      return
    }
    if (this.flowing) return
    this.#queue.push(part)
    if (!this.#paused && this.#queue.length - this.#head >= highWater) {
      this.#paused = true
      this.#native.pause(this.#id, true)
    }
  }

  /** From now on nobody reads piece by piece. */
  flow(): void {
    if (this.reading || this.flowing) return
    this.flowing = true
    this.#queue = []
    this.#head = 0
    this.#resume()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#native.pause(this.#id, false)
  }

  next(): Promise<IteratorResult<Part, undefined>> {
    if (this.#head < this.#queue.length) {
      const part = this.#queue[this.#head]!
      this.#head++
      if (this.#head === this.#queue.length) {
        this.#queue = []
        this.#head = 0
      }
      if (this.#paused && this.#queue.length - this.#head <= lowWater) this.#resume()
      return Promise.resolve({ value: part, done: false })
    }
    if (this.#error) return Promise.reject(this.#error)
    if (this.finished) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  finish(end: NativeResult): void {
    const toolCalls = this.#toolCalls.filter((call) => call !== undefined)
    const generationMs = end.totalMs - end.firstTokenMs
    const result: StreamResult = {
      text: this.#text,
      reasoning: this.#reasoning,
      toolCalls,
      finishReason:
        end.finishReason === 'stop' && toolCalls.length > 0 ? 'toolCalls' : end.finishReason,
      usage: {
        tokensPrompt: end.tokensPrompt,
        tokensReused: end.tokensReused,
        tokensGenerated: end.tokensGenerated,
      },
      timings: {
        queueMs: end.queueMs,
        promptMs: end.promptMs,
        firstTokenMs: end.firstTokenMs,
        totalMs: end.totalMs,
        tokensPerSecond:
          end.tokensGenerated > 1 && generationMs > 0
            ? ((end.tokensGenerated - 1) / generationMs) * 1000
            : 0,
      },
    }
    if (end.stopString) result.stopString = end.stopString
    if (this.#logprobs) result.logprobs = this.#logprobs
    this.#end()
    this.#onEnd?.(result)
    this.#resolve(result)
    this.#waiting?.resolve({ value: undefined, done: true })
    this.#waiting = undefined
  }

  fail(error: SottoError): void {
    if (this.finished) return
    this.#error = error
    this.#end()
    this.#onEnd?.(undefined)
    this.#reject(error)
    this.#waiting?.reject(error)
    this.#waiting = undefined
  }

  #end(): void {
    this.finished = true
    this.keepAlive = undefined
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#signal = undefined
  }
}

// A stream that is collected unread has no reader left: its request stops.
const abandoned = new FinalizationRegistry<RequestState<never>>((state) => state.cancel())

/**
 * An answer that is being written. Read it in one way, once: `for await`, `toReadableStream()`, `toReadable()`, `text()`;
 * `result` can be awaited beside any of them.
 *
 * Aborting is not a failure: the stream ends, and its result says `finishReason: 'abort'`. Failures reject with a
 * `SottoError`. Leaving a `for await` early aborts.
 *
 * @example
 * ```ts
 * import { loadModel } from 'sotto'
 * await using model = await loadModel('smollm2-135m-instruct')
 * const stream = model.complete('Once upon a time', { maxTokens: 64 })
 * for await (const { text } of stream) process.stdout.write(text)
 * const { finishReason, usage } = await stream.result
 * ```
 */
export class TokenStream<Part extends ChatPart = TextPart>
  implements AsyncIterable<Part>, AsyncDisposable
{
  readonly #state: RequestState<Part>

  /** @internal */
  constructor(state: RequestState<Part>) {
    this.#state = state
    abandoned.register(this, state as unknown as RequestState<never>, state)
  }

  /** Resolves when the answer has ended, with all of it. Without another reader the answer is not held back. */
  get result(): Promise<StreamResult> {
    if (!this.#state.finished) this.#state.keepAlive = this
    // A reader may still come in this turn of the event loop (`const { result } = stream; for await …`).
    setImmediate(() => this.#state.flow())
    return this.#state.result
  }

  /** The whole text of the answer. */
  async text(): Promise<string> {
    return (await this.result).text
  }

  /** Stops the answer within one token or one prefill chunk. Idempotent. */
  abort(): void {
    this.#state.cancel()
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Part, undefined> {
    const state = this.#state
    if (state.reading || state.flowing) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        'Expected one reader a stream: this one is being read already',
      )
    }
    state.reading = true
    const stream = this // an iterator in use keeps its stream from being collected
    return {
      next: () => state.next(),
      async return() {
        stream.abort()
        return { value: undefined, done: true }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  /** A web stream of text; reasoning and tool calls are left out. */
  toReadableStream(): ReadableStream<string> {
    const parts = this[Symbol.asyncIterator]()
    return new ReadableStream<string>({
      async pull(controller) {
        while (true) {
          const { value, done } = await parts.next()
          if (done) return controller.close()
          if (value.type !== 'text') continue
          return controller.enqueue(value.text)
        }
      },
      async cancel() {
        await parts.return?.()
      },
    })
  }

  /** A Node stream of UTF-8 text; reasoning and tool calls are left out. */
  toReadable(): Readable {
    const parts = this[Symbol.asyncIterator]()
    async function* texts() {
      try {
        for await (const part of parts) if (part.type === 'text') yield part.text
      } finally {
        await parts.return?.()
      }
    }
    return Readable.from(texts(), { objectMode: false, encoding: 'utf8' })
  }

  /** Aborts, and waits for the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    this.#state.flow()
    await this.#state.result.catch(() => {})
  }
}
