// split.ts: sotto split

import { splitModel } from '../../gguf/splitter.js'
import { resolveModel } from '../../models/store.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
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
  return longWork(
    model,
    'interrupted; nothing was kept',
    async (signal, bar) =>
      splitModel(await resolveModel(model), {
        shards,
        maxBytes: maxSize,
        names,
        folder: out,
        signal,
        onProgress: ({ bytes, totalBytes }) => bar.update('splitting', bytes, totalBytes),
      }),
    async (result) => {
      if (json) return writeJson(result)
      for (const path of result.paths) await write(`${printable(path)}\n`)
      if (result.manifest) await write(`${printable(result.manifest)}\n`)
      await write(`${size(result.bytes)} in ${result.paths.length} shards\n`)
    },
  )
}
