// http-download.ts: a URL into a file, resumed with a range request where the server still has the same thing.

import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { SottoError } from '../../errors.js'
import { type Fetch, throwIfAborted } from '../pull.js'

const attempts = 5

/** What a partial file is a part of. Beside it as `*.source`; without it the partial is not believed. */
interface PartialSource {
  url: string
  etag: string
}

/**
 * Downloads to `fetch.target`. A cut connection is resumed a few times; then the partial file stays for the next pull.
 */
export async function download(
  url: string,
  headers: Record<string, string>,
  fetch: Fetch,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      if (await downloadOnce(url, headers, fetch)) return
    } catch (error) {
      throwIfAborted(fetch.signal)
      if (error instanceof SottoError || isDiskError(error)) throw error
      if (attempt === attempts) {
        const kept = await sizeOf(fetch.target)
        if (kept === 0)
          throw new SottoError(
            'ERR_OFFLINE',
            `${new URL(url).host} cannot be reached: ${reasonOf(error)}`,
            { cause: error },
          )
        throw new SottoError(
          'ERR_DOWNLOAD_FAILED',
          `The download was cut off ${attempts} times at ${kept} bytes (${reasonOf(error)}); pull again to resume`,
          { cause: error },
        )
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt))
  }
}

// True when the file is whole.
async function downloadOnce(
  url: string,
  headers: Record<string, string>,
  { target, signal, progress, reserve }: Fetch,
): Promise<boolean> {
  const note = `${target}.source`
  const known = await readNote(note)
  let offset = known?.url === url ? await sizeOf(target) : 0
  const request: Record<string, string> = { ...headers, 'accept-encoding': 'identity' }
  if (offset > 0 && known) {
    request['range'] = `bytes=${offset}-`
    if (known.etag) request['if-range'] = known.etag
  }
  const response = await fetch(url, { headers: request, signal: signal ?? null })
  if (response.status === 416) {
    await rm(target, { force: true }) // what is there is longer than what the server has
    return false
  }
  checkStatus(response)
  if (response.status === 206) {
    const start = Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1])
    if (start !== offset)
      throw new SottoError(
        'ERR_DOWNLOAD_FAILED',
        `Expected the rest of the file from byte ${offset}, the server sent another part`,
      )
  } else {
    offset = 0
  }
  const length = Number(response.headers.get('content-length') ?? Number.NaN)
  const totalBytes = Number.isFinite(length) ? offset + length : 0
  if (totalBytes > 0) await reserve(totalBytes - offset)
  await writeFile(
    note,
    JSON.stringify({ url, etag: response.headers.get('etag') ?? '' } satisfies PartialSource),
  )
  const file = await open(target, offset > 0 ? 'r+' : 'w')
  let bytes = offset
  try {
    for await (const chunk of response.body ?? []) {
      await file.write(chunk, 0, chunk.length, bytes)
      bytes += chunk.length
      progress({ phase: 'downloading', bytes, totalBytes })
    }
  } finally {
    await file.close()
  }
  if (totalBytes > 0 && bytes !== totalBytes)
    throw new Error(`${bytes} of ${totalBytes} bytes arrived`)
  await rm(note, { force: true })
  return true
}

function checkStatus(response: Response): void {
  const { status } = response
  if (response.ok) return
  const host = new URL(response.url).host
  if (status === 401 || status === 403) {
    throw new SottoError(
      'ERR_DOWNLOAD_FAILED',
      `${host} refuses access (${status}): the model may be gated; accept its terms there and set HF_TOKEN`,
    )
  }
  if (status === 404 || status === 410)
    throw new SottoError(
      'ERR_DOWNLOAD_FAILED',
      `${host} has no such file (${status}): check the source`,
    )
  if (status >= 500 || status === 429) throw new Error(`${host} answers ${status}`)
  throw new SottoError('ERR_DOWNLOAD_FAILED', `${host} answers ${status}`)
}

async function readNote(note: string): Promise<PartialSource | undefined> {
  try {
    const { url, etag } = JSON.parse(await readFile(note, 'utf8'))
    return typeof url === 'string' && typeof etag === 'string' ? { url, etag } : undefined
  } catch {
    return undefined
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

function isDiskError(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EACCES', 'EIO'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  )
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error
    ? cause.message || (cause as NodeJS.ErrnoException).code || message
    : message
}
