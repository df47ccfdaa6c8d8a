// convert.ts: sotto convert

import { type ConvertOptions, convertLegacy } from '../../gguf/converter.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { size } from '../size.js'

export async function convert(
  input: string,
  output: string,
  { json, ...options }: ConvertOptions & { json?: boolean },
): Promise<ExitCode> {
  return longWork(
    input,
    'interrupted; nothing was kept',
    (signal, bar) =>
      convertLegacy(input, output, {
        ...options,
        signal,
        onProgress: ({ bytes, totalBytes }) => bar.update('converting', bytes, totalBytes),
      }),
    (result) =>
      json ? writeJson(result) : write(`${printable(result.path)}  ${size(result.bytes)}\n`),
  )
}
