// pull.ts: sotto pull

import { pullModel } from '../../models/pull.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { Interrupt } from '../interrupt.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { size } from '../size.js'

interface PullFlags {
  name?: string
  sha256?: string
  json?: boolean
}

export async function pull(source: string, { name, sha256, json }: PullFlags): Promise<ExitCode> {
  using interrupt = new Interrupt()
  const bar = await Progress.start(source)
  try {
    const model = await pullModel(source, {
      name,
      sha256,
      signal: interrupt.signal,
      onProgress: ({ phase, bytes, totalBytes }) => bar.update(phase, bytes, totalBytes),
    })
    bar.stop()
    if (json) await writeJson(model)
    else await write(`${model.name}  ${size(model.bytes)}  ${model.path}\n`)
    return exitCodes.ok
  } catch (error) {
    bar.stop()
    if (!interrupt.happened) throw error
    process.stderr.write('sotto: interrupted; the next pull goes on from here\n')
    return exitCodes.interrupted
  }
}
