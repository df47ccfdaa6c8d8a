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
    this.#show(phase, bytes, total, total > 0 ? ` of ${size(total)}` : '')
  }

  /** Of what is not counted in bytes, 0 … 1. */
  share(phase: string, fraction: number): void {
    this.#show(phase, fraction * 100, 100, '')
  }

  #show(phase: string, done: number, total: number, whole: string): void {
    if (this.#terminal) this.#draw(phase, done, total, whole)
    else this.#print(phase, done, total, whole)
  }

  #draw(phase: string, bytes: number, total: number, whole: string): void {
    const known = total > 0
    if (phase !== this.#phase || (this.#bar && known !== this.#bar.getTotal() > 1)) this.stop()
    this.#phase = phase
    if (!this.#bar) {
      const format = known
        ? `${phase} {label} {bar} {percentage}%{whole}`
        : `${phase} {label} {size}`
      this.#bar = new this.#Bar!({ format, stream: process.stderr, hideCursor: true, barsize: 30 })
      this.#bar.start(known ? total : 1, 0, this.#payload(bytes, whole))
    }
    this.#bar.update(known ? bytes : 0, this.#payload(bytes, whole))
  }

  #payload(bytes: number, whole: string): object {
    return { label: this.#label, size: size(bytes), whole }
  }

  #print(phase: string, bytes: number, total: number, whole: string): void {
    const step = total > 0 ? Math.floor((bytes / total) * 10) : Math.floor(bytes / bytesPerLine)
    if (phase === this.#phase && step <= this.#step) return
    this.#phase = phase
    this.#step = step
    const far = total > 0 ? ` ${step * 10}%${whole}` : bytes > 0 ? ` ${size(bytes)}` : ''
    process.stderr.write(`${phase} ${this.#label}${far}\n`)
  }

  stop(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}
