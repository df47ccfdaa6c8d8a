import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type GgufArray, readGguf } from '../../../lib/gguf/index.js'
import { expectCode } from '../../helpers/expect-code.js'

interface Behaviour {
  ranges?: boolean
  status?: number
  contentRange?: string
  changing?: boolean
  cut?: boolean
  endless?: boolean
}

let server: Server
let url: URL
let body: Buffer
let behave: Behaviour = {}
let seen: string[] = []
let sent = 0

function answer({ headers }: IncomingMessage, response: ServerResponse): void {
  seen.push(headers.range ?? '')
  if (headers.authorization) seen.push(headers.authorization)
  if (behave.status) {
    response.writeHead(behave.status).end()
    return
  }
  const [, from, to] = /bytes=(\d+)-(\d+)/.exec(headers.range ?? '') ?? []
  const ranged = behave.ranges !== false
  if (ranged && Number(from) >= body.length) {
    response.writeHead(416).end()
    return
  }
  const part = ranged ? body.subarray(Number(from), Number(to) + 1) : body
  const etag = behave.changing ? `"${seen.length}"` : '"one"'
  sent += part.length
  response.writeHead(ranged ? 206 : 200, {
    etag,
    connection: 'close', // one that the server closes while the test computes could be used again
    ...(behave.endless ? {} : { 'content-length': part.length }),
    ...(ranged && {
      'content-range':
        behave.contentRange ?? `bytes ${from}-${Number(from) + part.length - 1}/${body.length}`,
    }),
  })
  response.write(behave.cut ? part.subarray(0, part.length / 2) : part)
  if (behave.cut) response.destroy()
  else if (!behave.endless) response.end()
}

beforeAll(async () => {
  server = createServer(answer)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/model.gguf`)
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  body = readFileSync(inject('models').tiny)
  behave = {}
  seen = []
  sent = 0
})

describe('a model on a web server', () => {
  it('says the same of itself as on disk, and only its head travels', async () => {
    body = readFileSync(inject('models').real)
    const file = await readGguf(url)
    const { metadata, ...rest } = await readGguf(inject('models').real)
    expect(file).toMatchObject(rest)
    expect([...file.metadata.keys()]).toEqual([...metadata.keys()])
    const merges = 'tokenizer.ggml.merges'
    expect([...(file.metadata.get(merges) as GgufArray)].join()).toBe(
      [...(metadata.get(merges) as GgufArray)].join(),
    )
    expect(seen.length).toBeGreaterThan(1)
    expect(sent).toBeLessThan(2 * file.dataOffset + 2 ** 20)
  })

  it('sends headers along, and reads file: URLs too', async () => {
    await readGguf(url, {}, { headers: { authorization: 'Bearer secret' } })
    expect(seen).toEqual(['bytes=0-1048575', 'Bearer secret'])
    const tiny = inject('models').tiny
    expect(await readGguf(pathToFileURL(tiny))).toEqual(await readGguf(tiny))
  })

  it('a server without ranges will do for a small file, and is refused for a large one', async () => {
    behave = { ranges: false }
    expect(await readGguf(url)).toEqual(await readGguf(inject('models').tiny))
    body = Buffer.concat([body, Buffer.alloc(2 ** 20)])
    const error = await expectCode('ERR_DOWNLOAD_FAILED', () => readGguf(url))
    expect(error.message).toMatch(/range/)
  })

  it('nothing is kept of what a server sends beyond the range, were it without end', async () => {
    behave = { endless: true }
    expect(await readGguf(url)).toEqual(await readGguf(inject('models').tiny))
  })

  it.each<[string, Behaviour]>([
    ['404', { status: 404 }],
    ['500', { status: 500 }],
    ['no total', { contentRange: 'bytes 0-1048575/*' }],
    ['another range', { contentRange: 'bytes 5-1048575/9999999' }],
    ['a shorter range', { contentRange: 'bytes 0-9/9999999' }],
    ['a cut connection', { cut: true }],
  ])('%s is ERR_DOWNLOAD_FAILED', async (_, behaviour) => {
    behave = behaviour
    await expectCode('ERR_DOWNLOAD_FAILED', () => readGguf(url))
  })

  it('a file that is replaced between two ranges is ERR_DOWNLOAD_FAILED', async () => {
    body = readFileSync(inject('models').real)
    behave = { changing: true }
    const error = await expectCode('ERR_DOWNLOAD_FAILED', () => readGguf(url))
    expect(error.message).toMatch(/changed/)
  })

  it('an empty file, and one cut in its head, are ERR_MODEL_FORMAT', async () => {
    body = Buffer.alloc(0)
    await expectCode('ERR_MODEL_FORMAT', () => readGguf(url))
    body = readFileSync(inject('models').tiny).subarray(0, 1000)
    await expectCode('ERR_MODEL_FORMAT', () => readGguf(url))
  })

  it('limits hold before anything more is fetched', async () => {
    body = readFileSync(inject('models').real)
    await expectCode('ERR_MODEL_LIMIT', () => readGguf(url, { headBytes: 2 ** 19 }))
    expect(seen).toHaveLength(1)
  })

  it('stops at an AbortSignal, knows http: and https:, and says when nobody answers', async () => {
    await expectCode('ERR_ABORTED', () => readGguf(url, {}, { signal: AbortSignal.abort() }))
    await expectCode('ERR_OPTION_INVALID', () => readGguf(new URL('ftp://example.com/model.gguf')))
    await expectCode('ERR_DOWNLOAD_FAILED', () => readGguf(new URL('http://127.0.0.1:1/x')))
  })
})
