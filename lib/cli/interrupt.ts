// interrupt.ts: Ctrl-C as an AbortSignal, for as long as a command runs. The second one waits for nobody.

import { exitCodes } from './exit-code.js'

export class Interrupt implements Disposable {
  readonly #controller = new AbortController()
  readonly #onSignal = () => {
    if (this.happened) process.exit(exitCodes.interrupted)
    this.#controller.abort()
  }

  constructor() {
    process.on('SIGINT', this.#onSignal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get happened(): boolean {
    return this.#controller.signal.aborted
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onSignal)
  }
}
