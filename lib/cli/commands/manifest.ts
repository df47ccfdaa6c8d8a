// manifest.ts: sotto manifest: what the files of a model are, in JSON or as sha256sum writes it.

import { existsSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { SottoError } from '../../errors.js'
import { formatDigestList } from '../../gguf/digest-list.js'
import { signManifest } from '../../gguf/manifest.js'
import { NewFile } from '../../gguf/new-file.js'
import { checkModelFiles } from '../../gguf/shards.js'
import { resolveModel } from '../../models/store.js'
import { makeManifest } from '../../verify.js'
import type { ExitCode } from '../exit-code.js'
import { readKeyFile } from '../key-file.js'
import { longWork } from '../long-work.js'
import { write } from '../output.js'
import { printable } from '../printable.js'

interface ManifestFlags {
  digests?: boolean
  out?: string
  sign?: string
  cache: boolean
}

export async function manifest(
  model: string,
  { digests, out, sign, cache }: ManifestFlags,
): Promise<ExitCode> {
  const source = await resolveModel(model)
  const key = sign === undefined ? undefined : readKeyFile('--sign', sign)
  if (out !== undefined) await checkOut(out, source)
  try {
    return await longWork(
      model,
      'interrupted; nothing was written',
      (signal, bar) =>
        makeManifest(source, {
          cache,
          signal,
          onProgress: ({ bytes, totalBytes }) => bar.update('reading', bytes, totalBytes),
        }),
      async (plain) => {
        const made = key === undefined ? plain : signManifest(plain, key)
        const text = digests ? formatDigestList(made.shards) : `${JSON.stringify(made, null, 2)}\n`
        if (out === undefined) return write(text)
        await writeWhole(out, text)
        await write(`${printable(out)}\n`)
      },
    )
  } finally {
    key?.fill(0)
  }
}

// Names in it are of files beside it. A manifest may be made anew in its own place; nothing else is overwritten.
async function checkOut(out: string, source: string): Promise<void> {
  if (existsSync(out) && realpathSync(out) !== realpathSync(source))
    throw new SottoError('ERR_OPTION_INVALID', `Expected no file ${out}, there is one: remove it`)
  const folder = dirname((await checkModelFiles(source, { adapter: true })).paths[0]!)
  const its = dirname(out)
  if (existsSync(its) && realpathSync(its) === realpathSync(folder)) return
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected --out to be a file in ${folder}, beside the model, received ${out}`,
  )
}

async function writeWhole(path: string, text: string): Promise<void> {
  const file = await NewFile.create(path)
  try {
    await file.write(Buffer.from(text))
    await file.close()
    await file.giveName()
  } catch (error) {
    await file.discard()
    throw error
  }
}
