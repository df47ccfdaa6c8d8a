// progress.ts: how far something long has come: a bar on a terminal, a line for every tenth in a pipe. Always on stderr.

import type { SingleBar } from 'cli-progress'
import { size } from './size.js'

const bytesPerLine = 25e6 // when nobody knows how many there will be

export class Progress {
  readonly #label: string
  #bar: SingleBar | undefined
  #phase = ''
  #step = -1
  #Bar: typeof SingleBar | undefined
  readonly #terminal = process.stderr.isTTY === true

  private constructor(label: string, Bar: typeof SingleBar | undefined) {
    this.#label = label
    this.#Bar = Bar
  }

  static async start(label: string): Promise<Progress> {
    return new Progress(
      label,
      process.stderr.isTTY ? (await import('cli-progress')).default.SingleBar : undefined,
    )
  }

  /** `total` 0: not known. */
  update(phase: string, bytes: number, total: number): void {
    if (this.#terminal) this.#draw(phase, bytes, total)
    else this.#print(phase, bytes, total)
  }

  #draw(phase: string, bytes: number, total: number): void {
    const known = total > 0
    if (phase !== this.#phase || (this.#bar && known !== this.#bar.getTotal() > 1)) this.stop()
    this.#phase = phase
    if (!this.#bar) {
      const format = known
        ? `${phase} {label} {bar} {percentage}% of {total_size}`
        : `${phase} {label} {size}`
      this.#bar = new this.#Bar!({ format, stream: process.stderr, hideCursor: true, barsize: 30 })
      this.#bar.start(known ? total : 1, 0, this.#payload(bytes, total))
    }
    this.#bar.update(known ? bytes : 0, this.#payload(bytes, total))
  }

  #payload(bytes: number, total: number): object {
    return { label: this.#label, size: size(bytes), total_size: size(total) }
  }

  #print(phase: string, bytes: number, total: number): void {
    const step = total > 0 ? Math.floor((bytes / total) * 10) : Math.floor(bytes / bytesPerLine)
    if (phase === this.#phase && step <= this.#step) return
    this.#phase = phase
    this.#step = step
    const far = total > 0 ? ` ${step * 10}% of ${size(total)}` : bytes > 0 ? ` ${size(bytes)}` : ''
    process.stderr.write(`${phase} ${this.#label}${far}\n`)
  }

  stop(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}
