// hugging-face.ts: a file of a repository on the Hugging Face Hub, or on a mirror that behaves like it. The digest comes from
// the header that the Hub sets for large files, X-Linked-Etag (huggingface_hub, file_download.py).

import { SottoError } from '../../errors.js'
import { type Fetch, type Source, throwIfAborted } from '../pull.js'
import { download } from './http-download.js'
import { isLoopback } from './https.js'
import { nameOf } from './local.js'

export interface HubFile {
  owner: string
  repository: string
  file: string
  revision: string
}

type Fetcher = (file: HubFile, fetch: Fetch) => ReturnType<Source['fetch']>

/** `hf:owner/repo/path/file.gguf`, optionally `@revision`. */
export function parseHuggingFace(source: string, fetch: Fetcher): Source | undefined {
  if (!source.startsWith('hf:')) return undefined
  const match = /^hf:([\w.-]+)\/([\w.-]+)\/([\w./+ -]+\.gguf)(?:@([\w./-]+))?$/.exec(source)
  if (!match || source.includes('..')) {
    throw new SottoError(
      'ERR_SOURCE_INVALID',
      `Expected hf:owner/repo/file.gguf, received ${JSON.stringify(source.slice(0, 100))}`,
    )
  }
  const [, owner = '', repository = '', file = '', revision = 'main'] = match
  return {
    name: nameOf(file),
    fetch: (request) => fetch({ owner, repository, file, revision }, request),
  }
}

export async function fetchHuggingFace(file: HubFile, request: Fetch): Promise<{ sha256: string }> {
  const host = checkHost(request.host || 'https://huggingface.co')
  const path = [file.owner, file.repository, 'resolve', file.revision, ...file.file.split('/')]
    .map(encodeURIComponent)
    .join('/')
  const url = `${host}/${path}`
  const headers: Record<string, string> = request.token
    ? { authorization: `Bearer ${request.token}` }
    : {}
  const sha256 = await linkedDigest(url, headers, request.signal)
  // fetch() drops the token when it is redirected to another host.
  await download(url, headers, request)
  return { sha256 }
}

function checkHost(host: string): string {
  try {
    const url = new URL(host)
    if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname)))
      return url.href.replace(/\/+$/, '')
  } catch {
    // said below
  }
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected host to be an https: URL, received ${JSON.stringify(host.slice(0, 100))}`,
  )
}

async function linkedDigest(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<string> {
  let response: Response
  try {
    response = await fetch(url, {
      method: 'HEAD',
      headers,
      redirect: 'manual',
      signal: signal ?? null,
    })
  } catch (cause) {
    throwIfAborted(signal)
    throw new SottoError('ERR_OFFLINE', `${new URL(url).host} cannot be reached`, { cause })
  }
  if (response.status === 401 || response.status === 403) {
    throw new SottoError(
      'ERR_DOWNLOAD_FAILED',
      `${new URL(url).host} refuses access (${response.status}): the model may be gated; accept its terms there and set HF_TOKEN`,
    )
  }
  if (response.status >= 400) {
    throw new SottoError(
      'ERR_DOWNLOAD_FAILED',
      `${new URL(url).host} has no such file (${response.status}): check owner, repository and file`,
    )
  }
  const digest = /^"?([0-9a-f]{64})"?$/i.exec(response.headers.get('x-linked-etag') ?? '')?.[1]
  if (!digest) {
    throw new SottoError(
      'ERR_DOWNLOAD_FAILED',
      `${new URL(url).host} gives no digest of this file: pull it by its https: URL with a digest of your own`,
    )
  }
  return digest
}
