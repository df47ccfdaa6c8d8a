// merge.ts: sotto merge

import { SottoError } from '../../errors.js'
import { mergeModel } from '../../gguf/merger.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { size } from '../size.js'

export async function merge(files: string[], { json }: { json?: boolean }): Promise<ExitCode> {
  const [target, ...shards] = [files.at(-1)!, ...files.slice(0, -1)]
  if (shards.length === 0) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      'Expected a first shard, a manifest or all shards, and then the file to write',
    )
  }
  return longWork(
    target,
    'interrupted; nothing was kept',
    (signal, bar) =>
      mergeModel(shards.length === 1 ? shards[0]! : shards, target, {
        signal,
        onProgress: ({ bytes, totalBytes }) => bar.update('merging', bytes, totalBytes),
      }),
    (result) =>
      json ? writeJson(result) : write(`${printable(result.path)}  ${size(result.bytes)}\n`),
  )
}
