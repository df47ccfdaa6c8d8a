// answer.ts: a stream of parts, written as it comes: text to stdout, reasoning to the terminal beside it.

import type { ChatPart, StreamResult, TokenStream } from '../token-stream.js'
import { write, writeForeign } from './output.js'
import { printable } from './printable.js'

/** Writes an answer and ends it with a line feed. */
export async function writeAnswer(stream: TokenStream<ChatPart>): Promise<StreamResult> {
  const reasoning = new Reasoning()
  let last = ''
  let complete = false
  try {
    for await (const part of stream) {
      if (part.type === 'reasoning') reasoning.write(part.text)
      if (part.type !== 'text') continue
      reasoning.end()
      await writeForeign(part.text)
      last = part.text
    }
    complete = true
  } finally {
    reasoning.end()
    // Where an answer fails, the message about it begins a line of its own.
    if ((complete || last !== '') && !last.endsWith('\n')) await write('\n')
  }
  const result = await stream.result
  if (result.finishReason === 'context') {
    process.stderr.write(
      'sotto: the answer is cut off: the context is full, --context makes room\n',
    )
  }
  return result
}

// Whoever pipes the answer on wants the answer alone; whoever watches wants to see that something happens.
class Reasoning {
  readonly #shown = process.stderr.isTTY === true
  readonly #dim = this.#shown && !process.env['NO_COLOR']
  #writing = false

  write(text: string): void {
    if (!this.#shown) return
    if (!this.#writing && this.#dim) process.stderr.write('\x1b[2m')
    this.#writing = true
    process.stderr.write(printable(text))
  }

  end(): void {
    if (!this.#writing) return
    this.#writing = false
    process.stderr.write(this.#dim ? '\x1b[0m\n' : '\n')
  }
}
