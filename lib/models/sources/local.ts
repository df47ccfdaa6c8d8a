// local.ts: a file that is already on this machine.

import { copyFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { SottoError } from '../../errors.js'
import { checkModelFile } from '../../gguf/gate.js'
import type { Fetch, Source } from '../pull.js'

type Fetcher = (path: string, fetch: Fetch) => ReturnType<Source['fetch']>

/** Anything that looks like a path. */
export function parseLocal(source: string, fetch: Fetcher): Source | undefined {
  if (source === '' || source.includes('\0') || /^[a-z]{2,}:/i.test(source)) return undefined
  if (!/[/\\.]/.test(source)) return undefined
  return { name: nameOf(source), fetch: (request) => fetch(source, request) }
}

/** A store name made from a file name. */
export function nameOf(file: string): string {
  return (
    basename(file.replaceAll('\\', '/'))
      .replace(/\.gguf$/i, '')
      .toLowerCase()
      .replace(/[^\w.+-]+/g, '-')
      .replace(/\.{2,}/g, '.')
      .replace(/^[^a-z0-9]+/, '') || 'model'
  )
}

export async function fetchLocal(
  path: string,
  { target, progress, reserve }: Fetch,
): Promise<undefined> {
  const file = await checkModelFile(path)
  if (Number(file.metadata.get('split.count')) > 1) {
    throw new SottoError(
      'ERR_SOURCE_INVALID',
      `Expected a model in one file, received a shard: "sotto merge ${path} <out.gguf>" makes one of all`,
    )
  }
  const { size } = await stat(path)
  if (size !== file.fileBytes)
    throw new SottoError('ERR_MODEL_FORMAT', `Expected ${path} to stay as it is while it is copied`)
  await reserve(size)
  await copyFile(path, target)
  progress({ phase: 'downloading', bytes: size, totalBytes: size })
}
