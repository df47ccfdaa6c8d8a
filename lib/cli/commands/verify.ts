// verify.ts: sotto verify

import { verifyModel } from '../../verify.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { Interrupt } from '../interrupt.js'
import { readKeyFile } from '../key-file.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { Progress } from '../progress.js'

interface VerifyFlags {
  sha256?: string[]
  key?: string
  cache: boolean
  json?: boolean
}

export async function verify(
  model: string,
  { sha256, key, cache, json }: VerifyFlags,
): Promise<ExitCode> {
  using interrupt = new Interrupt()
  const bar = await Progress.start(model)
  const lines: string[] = []
  try {
    const files = await verifyModel(model, {
      sha256,
      publicKey: key === undefined ? undefined : readKeyFile('--key', key),
      cache,
      signal: interrupt.signal,
      onFile: ({ name, ok }) => lines.push(`${name}: ${ok ? 'ok' : 'FAILED'}\n`),
      onProgress: ({ bytes, totalBytes }) => bar.update('verifying', bytes, totalBytes),
    })
    if (json) await writeJson({ files })
    return exitCodes.ok
  } catch (error) {
    if (!interrupt.happened) throw error
    bar.stop()
    process.stderr.write('sotto: interrupted\n')
    return exitCodes.interrupted
  } finally {
    bar.stop()
    if (!json) for (const line of lines) await write(printable(line))
  }
}
