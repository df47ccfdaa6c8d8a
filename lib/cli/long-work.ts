// long-work.ts: what goes through whole model files: a progress bar, and an end by Ctrl-C.

import { type ExitCode, exitCodes } from './exit-code.js'
import { Interrupt } from './interrupt.js'
import { Progress } from './progress.js'

/** Runs `work`, then `show` when the bar is gone. `interrupted` says what Ctrl-C has left. */
export async function longWork<T>(
  title: string,
  interrupted: string,
  work: (signal: AbortSignal, bar: Progress) => Promise<T>,
  show: (result: T) => Promise<void>,
): Promise<ExitCode> {
  using interrupt = new Interrupt()
  const bar = await Progress.start(title)
  try {
    const result = await work(interrupt.signal, bar)
    bar.stop()
    await show(result)
    return exitCodes.ok
  } catch (error) {
    bar.stop()
    if (!interrupt.happened) throw error
    process.stderr.write(`sotto: ${interrupted}\n`)
    return exitCodes.interrupted
  }
}
