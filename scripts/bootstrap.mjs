// bootstrap.mjs: everything between a clean checkout and a running command, in plain Node. Skips what is there already, shows
// what takes long, and says which step failed, why, and what to install. `bootstrap.mjs start|test|build`.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { StepError } from './progress.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [command = 'start', ...args] = process.argv.slice(2)

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24) return
  throw new StepError(
    'Checking Node',
    `expected Node 20.19, 22.12, 24 or later, this is ${process.version}`,
    'Install a current release of Node 20, 22 or 24.',
  )
}

function checkTools() {
  const missing = Object.entries({
    cmake: 'cmake',
    'c++': 'g++',
    cc: 'gcc',
    git: 'git',
    python3: 'python3-pip',
  })
    .filter(([name]) => spawnSync(name, ['--version'], { stdio: 'ignore' }).error)
    .map(([, pack]) => pack)
  if (missing.length === 0 || process.platform === 'win32') return
  throw new StepError(
    'Checking tools',
    `${missing.join(', ')} not found`,
    `On Debian: apt-get install ${missing.join(' ')}`,
  )
}

function installDependencies() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  const stamp = join(root, 'node_modules', '.sotto-lock')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return
  process.stderr.write('Installing npm dependencies …\n')
  // Our own install script is for users of the package; here the build is the next step.
  const { status, error } = spawnSync(
    process.platform === 'win32' ? 'npm.cmd' : 'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund'],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
    },
  )
  if (status !== 0)
    throw new StepError(
      'Installing npm dependencies',
      error?.message ?? `npm ci ended with ${status}`,
      'The npm registry must be reachable, once.',
    )
  writeFileSync(stamp, lock)
}

function newest(folder) {
  let time = 0
  for (const name of readdirSync(folder, { recursive: true }))
    time = Math.max(time, statSync(join(folder, name)).mtimeMs)
  return time
}

function compileTypeScript() {
  const stamp = join(root, 'dist', '.compiled')
  const time = Math.max(newest(join(root, 'lib')), statSync(join(root, 'tsconfig.json')).mtimeMs)
  if (existsSync(stamp) && Number(readFileSync(stamp, 'utf8')) >= time) return
  process.stderr.write('Compiling TypeScript …\n')
  rmSync(join(root, 'dist'), { recursive: true, force: true }) // a file that is gone from lib must go from dist
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  if (status !== 0)
    throw new StepError('Compiling TypeScript', `tsc ended with ${status}`, 'The errors are above.')
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, String(time))
}

async function build(argv) {
  checkNode()
  installDependencies()
  const { isBuilt, buildNative, readOptions } = await import('./native.mjs')
  const { isVendored, vendor } = await import('./vendor.mjs')
  const options = readOptions(argv)
  if (!isVendored() || !isBuilt(options)) {
    checkTools()
    await vendor()
    await buildNative(options)
  }
  compileTypeScript()
}

async function cli(argv) {
  const { main } = await import(pathToFileURL(join(root, 'dist', 'cli', 'main.js')).href)
  return main(argv)
}

async function main() {
  switch (command) {
    case 'build':
      await build(args)
      return 0
    case 'start': {
      await build([])
      // Pulls the default model when it is not in the store.
      const prompt = args.length > 0 ? args : ['Explain in two sentences what a language model is.']
      return cli(['run', 'smollm2-135m-instruct', ...prompt])
    }
    case 'test': {
      await build([])
      const { test } = await import('./test.mjs')
      return test(args)
    }
    default:
      throw new StepError(
        'Reading the command',
        `expected start, test or build, received ${command}`,
      )
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${error instanceof StepError ? error.message : error.stack}\n`)
  process.exitCode = 1
}
