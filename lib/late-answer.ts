// late-answer.ts: an answer that somebody reads before there is a model to give it. What is done to it meanwhile is done to the
// request when that begins; who cancels meanwhile has an answer without a word, and no request is made.

import { nothingDone, type StreamResult } from './answer.js'
import { AnswerFeed, type RequestControl } from './answer-feed.js'
import type { SottoError } from './errors.js'

/** @internal */
export class LateAnswer {
  readonly feed: AnswerFeed
  #running: { native: RequestControl; id: number } | undefined

  constructor(signal: AbortSignal | undefined, onEnd?: (result: StreamResult | undefined) => void) {
    const control: RequestControl = {
      cancel: () => {
        if (this.#running) this.#running.native.cancel(this.#running.id)
        else this.feed.finish(nothingDone)
      },
      // Nobody lags behind an answer that has not begun.
      pause: (_, paused) => this.#running?.native.pause(this.#running.id, paused),
    }
    this.feed = new AnswerFeed(control, 0, signal, onEnd)
    if (signal?.aborted) this.feed.cancel()
  }

  /** The request gets this number. Nobody may call it for an answer that has ended. */
  begin(native: RequestControl, id: number): AnswerFeed {
    this.#running = { native, id }
    return this.feed
  }

  fail(error: SottoError): void {
    this.feed.fail(error)
  }
}
