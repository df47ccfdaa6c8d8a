// request-router.ts: native events to the requests they belong to. Refers to nothing but requests in flight, so that an idle
// model can be collected although native code holds the router's function.

import { nothingDone, type StreamResult } from './answer.js'
import { AnswerFeed } from './answer-feed.js'
import { SottoError } from './errors.js'
import {
  type NativeContextNews,
  NativeEventKind,
  type NativeEvents,
  type NativeModel,
} from './native.js'

/** Hears the events of one request. */
export interface EventTarget {
  readonly finished: boolean
  accept(kind: number, payload: unknown): void
  fail(error: SottoError): void
}

export class RequestRouter {
  readonly #targets = new Map<number, EventTarget>()
  #nextId = 1
  readonly #contexts = new Map<number, (news: NativeContextNews) => void>()
  #nextContext = 1
  #waiting: (() => void)[] = []
  /** Called when the last request in flight has ended. */
  onIdle: (() => void) | undefined

  get busy(): boolean {
    return this.#targets.size > 0
  }

  /** Never throws: it is called from native code. */
  readonly onEvents = (events: NativeEvents): void => {
    for (let i = 0; i + 2 < events.length; i += 3) {
      const id = events[i] as number
      if (events[i + 1] === NativeEventKind.context) {
        this.#contexts.get(id)?.(events[i + 2] as NativeContextNews)
        continue
      }
      const target = this.#targets.get(id)
      if (!target) continue
      try {
        target.accept(events[i + 1] as number, events[i + 2])
      } catch (error) {
        target.fail(
          new SottoError('ERR_INTERNAL', 'A reader of the stream failed', { cause: error }),
        )
      }
      if (target.finished) this.#targets.delete(id)
    }
    if (this.#targets.size === 0) this.#rest()
  }

  /** Resolves when no request is in flight. Who waits is held no longer than the requests are. */
  idle(): Promise<void> {
    if (!this.busy) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #rest(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.onIdle?.()
  }

  /** An id for a conversation that is kept. `onNews` must not hold the model. */
  addContext(onNews: (news: NativeContextNews) => void): number {
    const id = this.#nextContext++
    this.#contexts.set(id, onNews)
    return id
  }

  removeContext(id: number): void {
    this.#contexts.delete(id)
  }

  /** Registers a request under a new id, then starts it. */
  start(target: (id: number) => EventTarget, submit: (id: number) => void): void {
    const id = this.#nextId
    this.#nextId = this.#nextId === 0xffffffff ? 1 : this.#nextId + 1
    this.#targets.set(id, target(id))
    try {
      submit(id)
    } catch (error) {
      this.#targets.delete(id)
      if (!this.busy) this.#rest()
      throw error
    }
  }

  /** An answer: an AnswerFeed that receives the events of the request that `submit` starts. */
  startAnswer(
    native: NativeModel,
    signal: AbortSignal | undefined,
    submit: (id: number) => void,
    onEnd?: (result: StreamResult | undefined) => void,
  ): AnswerFeed {
    if (signal?.aborted) {
      const state = new AnswerFeed(native, 0, undefined, onEnd)
      state.finish(nothingDone)
      return state
    }
    let state: AnswerFeed | undefined
    this.start((id) => {
      state = new AnswerFeed(native, id, signal, onEnd)
      return state
    }, submit)
    return state!
  }
}
