// input.ts: stdin, read to its end.

import { SottoError } from '../errors.js'

/** All of stdin as text. `what` is asked for on a terminal. */
export async function readStdin(what: string, signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write(`Type ${what}, then Ctrl-D:\n`)
  const chunks: Buffer[] = []
  const stop = () => process.stdin.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
  if (signal.aborted) throw new SottoError('ERR_ABORTED', 'Interrupted')
  return Buffer.concat(chunks).toString('utf8')
}
