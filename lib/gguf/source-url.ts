// source-url.ts: the head of a GGUF file on a web server, by range requests: some megabytes of a model of any size.

import { received, SottoError } from '../errors.js'
import type { GgufFile, Source } from './reader.js'

export interface UrlOptions {
  /** Sent with every request, such as `{ authorization: 'Bearer …' }`; not to another host that the first one redirects to. */
  headers?: Record<string, string>
  /** Stops with `ERR_ABORTED`. */
  signal?: AbortSignal
}

const firstBytes = 2 ** 20

/** What a source throws that has to be asked again when these bytes are there. */
class NotThereYet {
  constructor(readonly end: number) {}
}

/**
 * Reads from a URL, with the reader of heads as `read`. The reader begins anew whenever it needs more: it does so a handful of times,
 * since each time doubles what is there.
 *
 * @internal
 */
export async function readFromUrl(
  url: URL,
  options: UrlOptions,
  read: (source: Source) => GgufFile,
): Promise<GgufFile> {
  const source = new UrlSource(url, options)
  await source.fetch(firstBytes)
  while (true) {
    try {
      return read(source)
    } catch (error) {
      if (!(error instanceof NotThereYet)) throw error
      await source.fetch(error.end)
    }
  }
}

class UrlSource implements Source {
  readonly #url: URL
  readonly #options: UrlOptions
  #bytes = Buffer.alloc(0)
  #fileBytes: number | undefined
  #tag: string | null = null

  constructor(url: URL, options: UrlOptions) {
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected an https: or file: URL, received ${received(url.protocol)}`,
      )
    }
    this.#url = url
    this.#options = options
  }

  get fileBytes(): number {
    return this.#fileBytes ?? 0
  }

  upTo(end: number): Uint8Array {
    const wanted = Math.min(end, this.fileBytes)
    if (wanted > this.#bytes.length)
      throw new NotThereYet(Math.min(Math.max(wanted, 2 * this.#bytes.length), this.fileBytes))
    return this.#bytes
  }

  async fetch(end: number): Promise<void> {
    const from = this.#bytes.length
    try {
      const response = await fetch(this.#url, {
        headers: {
          ...this.#options.headers,
          'accept-encoding': 'identity',
          range: `bytes=${from}-${end - 1}`,
        },
        signal: this.#options.signal ?? null,
      })
      const bytes = this.#checkAnswer(response, from, end)
      this.#bytes = Buffer.concat([this.#bytes, await readBody(response, bytes)])
    } catch (cause) {
      if (cause instanceof SottoError) throw cause
      if (this.#options.signal?.aborted)
        throw new SottoError('ERR_ABORTED', 'Reading was aborted', { cause })
      throw this.#failed(reasonOf(cause), { cause })
    }
  }

  /** How many bytes the answer has; fewer than were asked for only where the file ends. */
  #checkAnswer(response: Response, from: number, end: number): number {
    const { status, headers } = response
    if (status === 416 && from === 0) {
      this.#fileBytes = 0
      return 0
    }
    if (status !== 206 && status !== 200) throw this.#failed(`it answers ${status}`)
    const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '')
    const length = headers.get('content-length')
    // A server without ranges sends the whole file, which will do when it is a small one.
    const whole = status === 200 && from === 0 && length !== null && Number(length) <= end
    if (!whole && (status === 200 || Number(range?.[1]) !== from))
      throw this.#failed('it does not answer range requests')
    const fileBytes = Number(whole ? length : range![3])
    const tag = headers.get('etag')
    if (this.#fileBytes !== undefined && (this.#fileBytes !== fileBytes || this.#tag !== tag))
      throw this.#failed('the file changed while it was read')
    const bytes = Math.min(end, fileBytes) - from
    if (!whole && Number(range![2]) - from + 1 !== bytes)
      throw this.#failed('it answers with another range than was asked for')
    this.#fileBytes = fileBytes
    this.#tag = tag
    return bytes
  }

  #failed(why: string, options?: ErrorOptions): SottoError {
    return new SottoError(
      'ERR_DOWNLOAD_FAILED',
      `Expected to read the head of a model from ${this.#url.host}: ${why}`,
      options,
    )
  }
}

// A server may send more than it was asked for, without end: nothing beyond `bytes` is kept.
async function readBody(response: Response, bytes: number): Promise<Buffer> {
  const body = Buffer.allocUnsafe(bytes)
  let filled = 0
  if (bytes === 0) await response.body?.cancel()
  else
    for await (const chunk of response.body ?? []) {
      body.set(chunk.subarray(0, bytes - filled), filled)
      filled += chunk.length
      if (filled >= bytes) break // which cancels the rest
    }
  if (filled < bytes) throw new Error(`it sent ${filled} of ${bytes} bytes`)
  return body
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error
    ? cause.message || (cause as NodeJS.ErrnoException).code || message
    : message
}
