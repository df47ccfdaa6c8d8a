// quantize-process.ts: the program of the child process that quantizeModel starts. Ends when its parent is gone.

import { rmSync } from 'node:fs'
import { basename } from 'node:path'
import { SottoError } from './errors.js'
import { type ImportanceMatrix, readImatrix } from './gguf/imatrix.js'
import { fromNative, native } from './native.js'
import type { QuantizeReport, QuantizeRequest } from './quantize-child.js'
import { resolveThreads } from './threads.js'

let folder: string | undefined
const send = (report: QuantizeReport) =>
  new Promise<void>((sent) => void process.send?.(report, () => sent()))

// Ctrl-C reaches the whole group; what it means is the parent's to say.
process.on('SIGINT', () => {})
process.on('disconnect', () => {
  if (folder === undefined) return
  rmSync(folder, { recursive: true, force: true })
  process.kill(process.pid, 'SIGKILL') // process.exit() would wait for the quantiser
})
process.once('message', async (request: QuantizeRequest) => {
  folder = request.folder
  try {
    await quantize(request)
    await send({ done: true })
  } catch (cause) {
    const error = fromNative(cause)
    const code = error instanceof SottoError ? error.code : 'ERR_INTERNAL'
    await send({ error: { code, message: (error as Error).message } })
  }
  folder = undefined
  process.disconnect()
})

async function quantize({ imatrix, threads, native: options }: QuantizeRequest): Promise<void> {
  const matrix = imatrix === undefined ? undefined : await readImatrix(imatrix)
  const { prompt } = resolveThreads(threads, native().systemInfo().cpu, undefined)
  await native().quantize(
    {
      ...options,
      threads: prompt,
      importance: Object.fromEntries(matrix?.tensors ?? []),
      metadata: matrix ? provenance(imatrix!, matrix) : {},
    },
    (fraction) => void send({ fraction }),
  )
}

// Under the keys that upstream's own program uses.
function provenance(
  path: string,
  { tensors, chunks, dataset }: ImportanceMatrix,
): Record<string, string | number> {
  return {
    'quantize.imatrix.file': basename(path).slice(0, 100),
    ...(dataset && { 'quantize.imatrix.dataset': basename(dataset).slice(0, 100) }),
    'quantize.imatrix.entries_count': tensors.size,
    ...(chunks > 0 && { 'quantize.imatrix.chunks_count': chunks }),
  }
}
