// pull.ts: sotto pull

import { pullModel } from '../../models/pull.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { size } from '../size.js'

interface PullFlags {
  name?: string
  sha256?: string
  json?: boolean
}

export async function pull(source: string, { name, sha256, json }: PullFlags): Promise<ExitCode> {
  return longWork(
    source,
    'interrupted; the next pull goes on from here',
    (signal, bar) =>
      pullModel(source, {
        name,
        sha256,
        signal,
        onProgress: ({ phase, bytes, totalBytes }) => bar.update(phase, bytes, totalBytes),
      }),
    (model) =>
      json ? writeJson(model) : write(`${model.name}  ${size(model.bytes)}  ${model.path}\n`),
  )
}
