// https.ts: any URL, with a digest: nothing else says that the file is the one that was meant.

import { SottoError } from '../../errors.js'
import type { Fetch, Source } from '../pull.js'
import { download } from './http-download.js'
import { nameOf } from './local.js'

type Fetcher = (url: string, fetch: Fetch) => ReturnType<Source['fetch']>

/** `https://host/file.gguf#sha256=…`, or the digest as an option. Plain http only to this machine. */
export function parseHttps(
  source: string,
  digest: string | undefined,
  fetch: Fetcher,
): Source | undefined {
  if (!/^https?:/i.test(source)) return undefined
  let url: URL
  try {
    url = new URL(source)
  } catch {
    throw new SottoError(
      'ERR_SOURCE_INVALID',
      `Expected a URL, received ${JSON.stringify(source.slice(0, 100))}`,
    )
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new SottoError(
      'ERR_SOURCE_INVALID',
      'Expected an https: URL, received http: over a network',
    )
  }
  const sha256 = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash)?.[1] ?? digest
  if (!sha256) {
    throw new SottoError(
      'ERR_SOURCE_INVALID',
      'Expected the digest of a downloaded file: append #sha256=<64 hex digits> to the URL or give sha256',
    )
  }
  url.hash = ''
  return {
    name: nameOf(decodeURIComponent(url.pathname)),
    sha256,
    fetch: (request) => fetch(url.href, request),
  }
}

/** Addresses of this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

export async function fetchHttps(url: string, fetch: Fetch): Promise<undefined> {
  await download(url, {}, fetch)
}
