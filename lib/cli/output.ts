// output.ts: stdout, where answers go. Everything else goes to stderr.

import { printable } from './printable.js'

/** Writes as it is: to a file or the next program. Waits for a slow reader. */
export async function write(text: string): Promise<void> {
  if (process.stdout.write(text)) return
  await new Promise((resolve) => process.stdout.once('drain', resolve))
}

/** Writes what a model or a file said: harmless on a terminal, unchanged in a pipe. */
export function writeForeign(text: string): Promise<void> {
  return write(process.stdout.isTTY ? printable(text) : text)
}

export function writeJson(value: unknown): Promise<void> {
  return write(`${JSON.stringify(value)}\n`)
}

let watched = false

/** A reader that has enough (`| head`) is no failure. */
export function endWithTheReader(): void {
  if (watched) return
  watched = true
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      if (stream === process.stdout) process.exit(0)
    })
  }
}
