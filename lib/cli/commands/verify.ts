// verify.ts: sotto verify

import { verifyModel } from '../../verify.js'
import type { ExitCode } from '../exit-code.js'
import { readKeyFile } from '../key-file.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'

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
  const lines: string[] = []
  try {
    return await longWork(
      model,
      'interrupted',
      (signal, bar) =>
        verifyModel(model, {
          sha256,
          publicKey: key === undefined ? undefined : readKeyFile('--key', key),
          cache,
          signal,
          onFile: ({ name, ok }) => lines.push(`${name}: ${ok ? 'ok' : 'FAILED'}\n`),
          onProgress: ({ bytes, totalBytes }) => bar.update('verifying', bytes, totalBytes),
        }),
      async (files) => {
        if (json) await writeJson({ files })
      },
    )
  } finally {
    if (!json) for (const line of lines) await write(printable(line))
  }
}
