// line-reader.ts: lines of a person or a pipe, one when it is asked for. Between two questions the terminal is in its ordinary
// mode: there Ctrl-C is a signal, and readline cannot redraw its line over an answer.

import { createInterface, type Interface } from 'node:readline'

export class LineReader {
  /** A person sits at both ends. */
  readonly terminal = process.stdin.isTTY === true && process.stdout.isTTY === true
  readonly #readline: Interface
  readonly #lines: string[] = []
  #answer: ((line: string | undefined) => void) | undefined
  #ended = false
  #warned = false
  /** Ended by Ctrl-C rather than by the end of input. */
  interrupted = false

  constructor() {
    const { terminal } = this
    process.stdin.ref?.()
    this.#readline = createInterface({
      input: process.stdin,
      output: terminal ? process.stdout : undefined,
      terminal,
      prompt: '> ',
    })
    this.#rest()
    this.#readline
      .on('line', (line) => this.#heard(line))
      .on('close', () => this.#end())
      .on('SIGINT', () => this.#pressed()) // Ctrl-C, as a key
  }

  /** The next line without its line feed; undefined at the end of input. */
  next(): Promise<string | undefined> {
    if (this.#lines.length > 0) return Promise.resolve(this.#lines.shift())
    if (this.#ended) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.#answer = resolve
      if (this.terminal) {
        process.stdin.setRawMode(true)
        this.#readline.prompt()
      } else {
        this.#readline.resume()
      }
    })
  }

  /** Ends as by Ctrl-C. */
  interrupt(): void {
    this.interrupted = true
    this.close()
  }

  close(): void {
    if (this.#ended) return
    this.#lines.length = 0
    this.#readline.close()
  }

  #heard(line: string): void {
    this.#warned = false
    if (!this.#answer) {
      this.#lines.push(line) // of a paste, or of a pipe's last chunk
      return
    }
    const answer = this.#answer
    this.#answer = undefined
    this.#rest()
    answer(line)
  }

  #rest(): void {
    this.#readline.pause()
    if (this.terminal) process.stdin.setRawMode(false)
  }

  #pressed(): void {
    const empty = this.#readline.line === ''
    if (empty && this.#warned) {
      process.stdout.write('\n')
      this.interrupt()
      return
    }
    this.#warned = empty
    process.stdout.write(empty ? '\n(Ctrl-C again or Ctrl-D ends)\n' : '\n')
    if (empty) {
      this.#readline.prompt()
    } else {
      this.#readline.write(null, { ctrl: true, name: 'e' })
      this.#readline.write(null, { ctrl: true, name: 'u' }) // draws the prompt again
    }
  }

  #end(): void {
    if (this.terminal && this.#answer && !this.interrupted) process.stdout.write('\n') // after Ctrl-D
    this.#ended = true
    // A pipe that somebody holds open is read ahead even when it is paused, and would keep the process.
    process.stdin.unref?.() // a file has no such method
    this.#answer?.(undefined)
    this.#answer = undefined
  }
}
