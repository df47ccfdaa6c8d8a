// split.ts: sotto split

import { splitModel } from '../../gguf/splitter.js'
import { resolveModel } from '../../models/store.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { Interrupt } from '../interrupt.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { Progress } from '../progress.js'
import { size } from '../size.js'

interface SplitFlags {
  shards?: number
  maxSize?: number
  names?: string
  out: string
  json?: boolean
}

export async function split(
  model: string,
  { shards, maxSize, names, out, json }: SplitFlags,
): Promise<ExitCode> {
  using interrupt = new Interrupt()
  const bar = await Progress.start(model)
  try {
    const result = await splitModel(await resolveModel(model), {
      shards,
      maxBytes: maxSize,
      names,
      folder: out,
      signal: interrupt.signal,
      onProgress: ({ bytes, totalBytes }) => bar.update('splitting', bytes, totalBytes),
    })
    bar.stop()
    if (json) await writeJson(result)
    else {
      for (const path of result.paths) await write(`${printable(path)}\n`)
      if (result.manifest) await write(`${printable(result.manifest)}\n`)
      await write(`${size(result.bytes)} in ${result.paths.length} shards\n`)
    }
    return exitCodes.ok
  } catch (error) {
    bar.stop()
    if (!interrupt.happened) throw error
    process.stderr.write('sotto: interrupted; nothing was kept\n')
    return exitCodes.interrupted
  }
}
