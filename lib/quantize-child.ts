// quantize-child.ts: the parent's side of the process that quantises (quantize-process.ts is its program): it is told what to do, says how far it
// is, and is killed by an abort.

import { fork } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onAbort } from './abort.js'
import { type ErrorCode, SottoError } from './errors.js'
import type { NativeQuantizeOptions } from './native.js'

/** What the child is told; it sees to the rest. */
export interface QuantizeRequest {
  /** What it removes when this process is gone. */
  folder: string
  imatrix: string | undefined
  threads: number | undefined
  native: Omit<NativeQuantizeOptions, 'importance' | 'metadata' | 'threads'>
}

/** What it says. */
export type QuantizeReport =
  | { fraction: number }
  | { done: true }
  | { error: { code: ErrorCode; message: string } }

// Beside this file as it is compiled, also when this file itself runs as TypeScript.
const script = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'quantize-process.js')
const mostSaid = 4096

/** Resolves when the child has done what it was told, and rejects with what it says, with `ERR_ABORTED`, or with how it ended. */
export async function quantizeInChild(
  request: QuantizeRequest,
  signal: AbortSignal | undefined,
  onProgress: (fraction: number) => void,
): Promise<void> {
  const child = fork(script, {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, GGML_NO_BACKTRACE: '1' }, // or ggml would start a debugger
  })
  const kill = () => child.kill('SIGKILL')
  const letGoOfSignal = onAbort(signal, kill)
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-mostSaid)
  })
  let failure: { error: unknown } | undefined
  let done = false
  child.on('message', (report: QuantizeReport) => {
    try {
      if ('fraction' in report) onProgress(report.fraction)
      else if ('done' in report) done = true
      else failure ??= { error: new SottoError(report.error.code, report.error.message) }
    } catch (error) {
      failure ??= { error } // of onProgress
      kill()
    }
  })
  try {
    const ended = new Promise<string>((settle) => {
      child.on('error', (error) => settle(error.message))
      child.on('close', (code, by) =>
        settle(by ? `it was ended by ${by}` : `it ended with ${code}`),
      )
    })
    child.send(request, () => {}) // a child that is gone is heard of by its end
    const end = await ended
    if (signal?.aborted)
      throw new SottoError('ERR_ABORTED', 'Quantising was aborted', { cause: signal.reason })
    if (failure) throw failure.error
    if (done) return onProgress(1) // the child's last word may have been lost
    const last = said.trim().split('\n').slice(-3).join('; ')
    throw new SottoError(
      'ERR_QUANTIZE_FAILED',
      `The quantiser's process did not finish, ${end}${last ? `: ${last}` : ''}`,
    )
  } finally {
    letGoOfSignal()
    kill()
  }
}
