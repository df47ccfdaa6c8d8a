// imatrix.ts: sotto imatrix

import { basename, dirname, join } from 'node:path'
import { makeImatrix } from '../../importance.js'
import { findModel } from '../../models/store.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { readTextFile } from '../text-file.js'
import type { MeasuringFlags } from './perplexity.js'

export async function imatrix(
  model: string,
  file: string,
  output: string | undefined,
  { context, chunks, threads, json }: MeasuringFlags,
): Promise<ExitCode> {
  return longWork(
    model,
    'interrupted; nothing was kept',
    async (signal, bar) =>
      makeImatrix(model, await readTextFile(file, signal), output ?? (await beside(model)), {
        ...{ contextSize: context, chunks, threads, signal },
        dataset: file === '-' ? undefined : file,
        onProgress: ({ phase, fraction }) => bar.share(phase, fraction),
      }),
    async (made) => {
      if (json) return writeJson({ model, ...made })
      await write(
        `${printable(made.path)}\n${made.tensors} tensors, ${made.tokens} tokens in ${made.chunks} windows\n`,
      )
    },
  )
}

// Of a model in the store, here: the store is no place for a file that nobody pulled.
async function beside(model: string): Promise<string> {
  const stored = await findModel(model)
  const path = stored ? basename(stored.path) : model
  return join(dirname(path), `${basename(path).replace(/(\.manifest)?\.\w+$/, '')}.imatrix.gguf`)
}
