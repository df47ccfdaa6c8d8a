// pull.ts: sotto pull

import { pullModel } from '../../models/pull.js'
import type { ExitCode } from '../main.js'
import { megabytes, Progress } from '../progress.js'

export async function pull(source: string, options: { name?: string; sha256?: string; json?: boolean }): Promise<ExitCode> {
  const bar = new Progress(source)
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  try {
    const model = await pullModel(source, {
      ...(options.name ? { name: options.name } : {}),
      ...(options.sha256 ? { sha256: options.sha256 } : {}),
      signal: interrupt.signal,
      onProgress: ({ phase, bytes, totalBytes }) => bar.update(phase, bytes, totalBytes),
    })
    bar.stop()
    if (options.json) process.stdout.write(`${JSON.stringify(model)}\n`)
    else process.stdout.write(`${model.name}  ${megabytes(model.bytes)}  ${model.path}\n`)
    return 0
  } catch (error) {
    if (interrupt.signal.aborted) return 130
    throw error
  } finally {
    bar.stop()
    process.off('SIGINT', onInterrupt)
  }
}
