// merge.ts: sotto merge

import { SottoError } from '../../errors.js'
import { mergeModel } from '../../gguf/merger.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { Interrupt } from '../interrupt.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { Progress } from '../progress.js'
import { size } from '../size.js'

export async function merge(files: string[], { json }: { json?: boolean }): Promise<ExitCode> {
  const [target, ...shards] = [files.at(-1)!, ...files.slice(0, -1)]
  if (shards.length === 0) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      'Expected a first shard, a manifest or all shards, and then the file to write',
    )
  }
  using interrupt = new Interrupt()
  const bar = await Progress.start(target)
  try {
    const result = await mergeModel(shards.length === 1 ? shards[0]! : shards, target, {
      signal: interrupt.signal,
      onProgress: ({ bytes, totalBytes }) => bar.update('merging', bytes, totalBytes),
    })
    bar.stop()
    if (json) await writeJson(result)
    else await write(`${printable(result.path)}  ${size(result.bytes)}\n`)
    return exitCodes.ok
  } catch (error) {
    bar.stop()
    if (!interrupt.happened) throw error
    process.stderr.write('sotto: interrupted; nothing was kept\n')
    return exitCodes.interrupted
  }
}
