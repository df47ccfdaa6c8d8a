// perplexity.ts: sotto perplexity

import { measurePerplexity } from '../../perplexity.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { readTextFile } from '../text-file.js'

export interface MeasuringFlags {
  context?: number
  chunks?: number
  threads?: number
  json?: boolean
}

export async function perplexity(
  model: string,
  file: string,
  { context, chunks, threads, json }: MeasuringFlags,
): Promise<ExitCode> {
  return longWork(
    model,
    'interrupted',
    async (signal, bar) =>
      measurePerplexity(model, await readTextFile(file, signal), {
        ...{ contextSize: context, chunks, threads, signal },
        onProgress: ({ phase, fraction }) => bar.share(phase, fraction),
      }),
    async (found) => {
      if (json) return writeJson({ model, ...found })
      const { perplexity, error, scored, chunks, contextSize } = found
      await write(
        `${perplexity.toFixed(4)} ± ${error.toFixed(4)}, ${scored} tokens in ${chunks} windows of ${contextSize}\n`,
      )
    },
  )
}
