// line.ts: one after the other, in order of arrival, whatever becomes of those in front.

export class Line {
  #last: Promise<unknown> = Promise.resolve()
  #length = 0

  /** Whether somebody is at it, or about to be. */
  get busy(): boolean {
    return this.#length > 0
  }

  run<T>(action: () => Promise<T>): Promise<T> {
    this.#length++
    const result = this.#last.then(action).finally(() => this.#length--)
    this.#last = result.catch(() => {})
    return result
  }
}
