// quantize.ts: sotto quantize

import { basename } from 'node:path'
import type { QuantizationType } from '../../gguf/quantisation-types.js'
import { findModel } from '../../models/store.js'
import { defaultOutput, type QuantizeOptions, quantizeModel } from '../../quantize.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { size } from '../size.js'

export async function quantize(
  model: string,
  type: string,
  output: string | undefined,
  { json, ...options }: QuantizeOptions & { json?: boolean },
): Promise<ExitCode> {
  // The store is no place for a file that nobody pulled.
  const stored = output === undefined ? await findModel(model) : undefined
  const target = stored ? basename(defaultOutput(stored.path, type)) : output
  return longWork(
    model,
    'interrupted; nothing was kept',
    (signal, bar) =>
      quantizeModel(model, type as QuantizationType, target, {
        ...options,
        signal,
        onProgress: ({ bytes, totalBytes }) => bar.update('quantizing', bytes, totalBytes),
      }),
    async (result) => {
      if (json) return writeJson(result)
      for (const path of result.paths) await write(`${printable(path)}\n`)
      await write(`${size(result.bytes)} of ${result.type}\n`)
    },
  )
}
