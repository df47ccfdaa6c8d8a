// progress.ts: a bar on a terminal, a line now and then in a pipe. Always on stderr.

import { SingleBar } from 'cli-progress'

export class Progress {
  readonly #label: string
  #bar: SingleBar | undefined
  #lastTenth = -1
  #phase = ''

  constructor(label: string) {
    this.#label = label
  }

  /** `total` 0: not known. */
  update(phase: string, value: number, total: number): void {
    if (process.stderr.isTTY) this.#draw(phase, value, total)
    else this.#print(phase, value, total)
  }

  #draw(phase: string, value: number, total: number): void {
    if (phase !== this.#phase) this.stop()
    this.#phase = phase
    if (!this.#bar) {
      const format = total > 0 ? '{label} {bar} {percentage}% {size}' : '{label} {size}'
      this.#bar = new SingleBar({ format: `${phase}: ${format}`, stream: process.stderr, hideCursor: true, fps: 8, barsize: 30 })
      this.#bar.start(total || 1, 0, { label: this.#label, size: '' })
    }
    this.#bar.update(total > 0 ? value : 0, { size: megabytes(value) })
  }

  #print(phase: string, value: number, total: number): void {
    const tenth = total > 0 ? Math.floor((value / total) * 10) : 0
    if (phase === this.#phase && tenth === this.#lastTenth) return
    this.#phase = phase
    this.#lastTenth = tenth
    const share = total > 0 ? ` ${tenth * 10}%` : ''
    process.stderr.write(`${phase}: ${this.#label}${share}\n`)
  }

  stop(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
