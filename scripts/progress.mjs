// progress.mjs: progress of the set-up before any dependency is there: a bar on a terminal, a line now and then in a pipe.

const tty = process.stderr.isTTY

export class Progress {
  #label
  #shown = -1

  constructor(label) {
    this.#label = label
    if (!tty) process.stderr.write(`${label} …\n`)
  }

  /** `share` from 0 to 1. */
  update(share, detail = '') {
    const percent = Math.min(100, Math.floor(share * 100))
    if (tty) {
      const filled = Math.round(percent * 0.3)
      process.stderr.write(
        `\r\x1b[K${this.#label} ${'█'.repeat(filled)}${'░'.repeat(30 - filled)} ${percent}% ${detail}`,
      )
    } else if (Math.floor(percent / 10) > this.#shown) {
      process.stderr.write(`${this.#label} ${percent}%${detail ? ` ${detail}` : ''}\n`)
      this.#shown = Math.floor(percent / 10)
    }
  }

  done() {
    if (tty) process.stderr.write(`\r\x1b[K${this.#label} ✓\n`)
  }
}

/** A step that failed: which one, why, and what to do. */
export class StepError extends Error {
  constructor(step, why, remedy) {
    super(`${step} failed: ${why}${remedy ? `\n  ${remedy}` : ''}`)
    this.name = 'StepError'
  }
}
