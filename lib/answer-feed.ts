// answer-feed.ts: the state of one streamed request between native events and its reader. The router holds it while the
// request runs; TokenStream and its iterator hold it as long as somebody may read. It never holds them: a stream that
// nobody can reach any more is cancelled when it is collected (rule 1).
//
// Rules: 1. no reference from here to TokenStream; 2. a reader that waits gets its part directly, without a queue;
// 3. a reader that lags by more than pauseAbove events pauses its own sequence; 4. while there is no reader nothing is
// queued: who comes late gets what was missed in one part a kind, from the collected answer; 5. the last event unhooks
// everything: signal, model, callbacks.

import { onAbort } from './abort.js'
import {
  Answer,
  type ChatPart,
  type StreamResult,
  type TokenLogprobs,
  type ToolCallPart,
} from './answer.js'
import { type ErrorCode, SottoError } from './errors.js'
import {
  NativeEventKind,
  type NativeLogprobs,
  type NativeModel,
  type NativeResult,
} from './native.js'
import type { EventTarget } from './request-router.js'

/** Unread events above which a sequence pauses, and below which it goes on. */
export const pauseAbove = 1024
export const resumeBelow = 256

type Step = IteratorResult<ChatPart, undefined>

interface Reader {
  resolve(step: Step): void
  reject(error: SottoError): void
}

/** What an answer does to its request while it runs. */
export type RequestControl = Pick<NativeModel, 'cancel' | 'pause'>

interface Settle {
  resolve(result: StreamResult): void
  reject(error: SottoError): void
}

const { text, reasoning, toolCall, logprobs, done, failed } = NativeEventKind

/** @internal What native events do to one request. */
export class AnswerFeed implements EventTarget {
  readonly #answer = new Answer()
  #native: RequestControl | undefined
  readonly #id: number
  readonly #letGoOfSignal: () => void
  #onEnd: ((result: StreamResult | undefined) => void) | undefined

  #queue: ChatPart[] = []
  #head = 0
  #readers: Reader[] = []
  #reading = false
  #orphaned = false
  #paused = false
  #unread = 0
  #pendingLogprobs: TokenLogprobs[] | undefined

  #cancelled = false
  #outcome: { result: StreamResult } | { error: SottoError } | undefined
  #failureShown = false
  #result: Promise<StreamResult> | undefined
  #settle: Settle | undefined

  /** `onEnd` runs before any reader hears of the end. */
  constructor(
    native: RequestControl,
    id: number,
    signal: AbortSignal | undefined,
    onEnd?: (result: StreamResult | undefined) => void,
  ) {
    this.#native = native
    this.#id = id
    this.#onEnd = onEnd
    this.#letGoOfSignal = onAbort(signal, () => this.cancel())
  }

  get finished(): boolean {
    return this.#outcome !== undefined
  }

  accept(kind: number, payload: unknown): void {
    switch (kind) {
      case text:
        this.#answer.text.add(payload as string)
        this.#push({ type: 'text', text: payload as string })
        return
      case reasoning:
        this.#answer.addReasoning(payload as string)
        this.#push({ type: 'reasoning', text: payload as string })
        return
      case toolCall: {
        const piece = payload as Omit<ToolCallPart, 'type' | 'text'>
        this.#answer.addToolCall(piece)
        this.#push({ type: 'toolCall', text: '', ...piece })
        return
      }
      case logprobs: {
        // They come before the text of their tokens, which may be held back: the next part takes them all.
        const added = this.#answer.addLogprobs(payload as NativeLogprobs[])
        if (this.#pendingLogprobs) this.#pendingLogprobs.push(...added)
        else this.#pendingLogprobs = added
        return
      }
      case done:
        this.finish(payload as NativeResult)
        return
      case failed: {
        const { code, message } = payload as { code: ErrorCode; message: string }
        this.fail(new SottoError(code, message))
        return
      }
    }
  }

  /** The request ended well, also by an abort. */
  finish(native: NativeResult): void {
    if (this.#pendingLogprobs) this.#push({ type: 'text', text: '' })
    this.#end({ result: this.#answer.result(native) })
  }

  fail(error: SottoError): void {
    this.#end({ error })
  }

  /** Ends the request, normally and with what is there. No-op when it has ended. */
  cancel(): void {
    if (this.#outcome || this.#cancelled) return
    this.#cancelled = true
    this.#native!.cancel(this.#id)
  }

  /** The one reader announces itself. False: there is one already. */
  attach(): boolean {
    if (this.#reading) return false
    this.#reading = true
    this.#catchUp() // Rule 4.
    this.#resumeIfRead()
    return true
  }

  /** The next part, at once or later. */
  read(): Promise<Step> {
    if (this.#head < this.#queue.length) {
      const part = this.#queue[this.#head]!
      this.#queue[this.#head++] = undefined as never // the array must not keep what has been read
      if (this.#head === this.#queue.length) {
        this.#queue.length = 0
        this.#head = 0
      } else if (this.#head > pauseAbove) {
        this.#queue = this.#queue.slice(this.#head)
        this.#head = 0
      }
      this.#unread--
      if (this.#paused) this.#resumeIfRead()
      return Promise.resolve({ value: part, done: false })
    }
    if (!this.#outcome) {
      return new Promise<Step>((resolve, reject) => this.#readers.push({ resolve, reject }))
    }
    if ('error' in this.#outcome && !this.#failureShown) {
      this.#failureShown = true
      return Promise.reject(this.#outcome.error)
    }
    return Promise.resolve({ value: undefined, done: true })
  }

  /** The reader leaves: what is unread is dropped and the request ends. */
  leave(): void {
    this.#failureShown = true
    this.#dropUnread()
    this.#endReaders()
    this.cancel()
  }

  /** The promise of the end. Asking for it lets an answer without a reader flow to its end. */
  get result(): Promise<StreamResult> {
    if (!this.#result) {
      this.#result = new Promise((resolve, reject) => {
        this.#settle = { resolve, reject }
      })
      // Who only iterates hears of a failure from the iterator: it must not come a second time as an unhandled rejection.
      this.#result.catch(() => {})
      if (this.#outcome) this.#settleResult()
      else this.#resumeIfRead()
    }
    return this.#result
  }

  /** Nobody can reach the stream any more. Who still waits, for a part or for the result, is served. */
  abandon(): void {
    if (this.#outcome) return
    this.#dropUnread()
    if (!this.#result && this.#readers.length === 0) this.cancel()
  }

  #dropUnread(): void {
    this.#orphaned = true
    this.#queue.length = 0
    this.#head = 0
    this.#unread = 0
    if (this.#paused) this.#pause(false)
  }

  #push(part: ChatPart): void {
    if (this.#pendingLogprobs) {
      part.logprobs = this.#pendingLogprobs
      this.#pendingLogprobs = undefined
    }
    if (this.#readers.length > 0) {
      this.#readers.shift()!.resolve({ value: part, done: false }) // Rule 2.
      if (this.#orphaned && !this.#result && this.#readers.length === 0) this.cancel()
      return
    }
    if (this.#orphaned) return
    if (this.#reading) this.#queue.push(part)
    else if (this.#result) return
    if (++this.#unread > pauseAbove && !this.#paused) this.#pause(true) // Rule 3.
  }

  #catchUp(): void {
    this.#unread = 0
    const missed: ChatPart[] = []
    const thought = this.#answer.reasoning?.text
    if (thought) missed.push({ type: 'reasoning', text: thought })
    const written = this.#answer.text.text
    if (written !== '') missed.push({ type: 'text', text: written })
    for (const [index, call] of this.#answer.toolCalls.entries()) {
      missed.push({ type: 'toolCall', text: '', index, ...call })
    }
    const seen = this.#answer.logprobs?.length ?? 0
    const pending = this.#pendingLogprobs?.length ?? 0
    if (missed.length > 0 && seen > pending) {
      missed[0]!.logprobs = this.#answer.logprobs!.slice(0, seen - pending)
    }
    this.#queue.push(...missed)
    this.#unread = missed.length
  }

  #resumeIfRead(): void {
    const flows = this.#result !== undefined && !this.#reading
    if (flows) this.#unread = 0
    if (this.#paused && this.#unread < resumeBelow) this.#pause(false)
  }

  #pause(paused: boolean): void {
    this.#paused = paused
    if (!this.#outcome) this.#native!.pause(this.#id, paused)
  }

  #end(outcome: { result: StreamResult } | { error: SottoError }): void {
    if (this.#outcome) return
    this.#outcome = outcome
    this.#letGoOfSignal() // Rule 5.
    this.#native = undefined
    const onEnd = this.#onEnd
    this.#onEnd = undefined
    onEnd?.('result' in outcome ? outcome.result : undefined)
    this.#settleResult()
    if ('error' in outcome && this.#readers.length > 0) {
      this.#failureShown = true
      this.#readers.shift()!.reject(outcome.error)
    }
    this.#endReaders()
  }

  #endReaders(): void {
    for (const reader of this.#readers) reader.resolve({ value: undefined, done: true })
    this.#readers = []
  }

  #settleResult(): void {
    if (!this.#settle || !this.#outcome) return
    if ('result' in this.#outcome) this.#settle.resolve(this.#outcome.result)
    else this.#settle.reject(this.#outcome.error)
    this.#settle = undefined
  }
}
