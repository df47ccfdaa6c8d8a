// native.mjs: compiles the addon with cmake-js. SOTTO_* options come from the command line (--SOTTO_BLAS=OpenBLAS) or the
// environment; every set of options has a build folder of its own, so that one never invalidates another.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Progress, StepError } from './progress.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

export const optionNames = [
  'SOTTO_NATIVE',
  'SOTTO_BLAS',
  'SOTTO_CUDA',
  'SOTTO_VULKAN',
  'SOTTO_METAL',
  'SOTTO_DIRECTML',
  'SOTTO_SANITIZE',
  'SOTTO_PROBES',
  'SOTTO_PREBUILD',
]

/** The SOTTO_* options of an environment and a command line; the command line wins. */
export function readOptions(argv = [], environment = process.env) {
  const options = {}
  for (const name of optionNames) if (environment[name]) options[name] = environment[name]
  for (const argument of argv) {
    const match = /^--(SOTTO_\w+)=(.*)$/.exec(argument)
    if (!match) continue
    if (!optionNames.includes(match[1])) {
      throw new StepError(
        'Reading options',
        `unknown option ${match[1]}`,
        `Known: ${optionNames.join(', ')}`,
      )
    }
    options[match[1]] = match[2]
  }
  return options
}

/** Where a set of options is built; the default set in `build`, which is where the package looks. */
export function buildFolder(options) {
  const parts = Object.entries(options).map(
    ([name, value]) => `${name.slice('SOTTO_'.length)}-${value}`,
  )
  return join(root, ['build', ...parts].join('-').toLowerCase())
}

/** Newest change of anything the addon is made of; vendored sources count by their stamp. */
function newestSource() {
  let newest = 0
  const visit = (path) => {
    const stats = statSync(path)
    newest = Math.max(newest, stats.mtimeMs)
    if (!stats.isDirectory() || path.endsWith('llama.cpp')) return
    for (const name of readdirSync(path)) visit(join(path, name))
  }
  visit(join(root, 'native'))
  visit(join(root, 'CMakeLists.txt'))
  return newest
}

function stampFile(folder) {
  return join(folder, 'Release', '.built')
}

export function isBuilt(options, folder = buildFolder(options)) {
  const stamp = stampFile(folder)
  if (!existsSync(join(folder, 'Release', 'sotto.node'))) return false // an interrupted link
  return existsSync(stamp) && Number(readFileSync(stamp, 'utf8')) >= newestSource()
}

/** Builds and returns the folder. `target`: another CMake target in the same configuration. */
export async function buildNative(options, { target, folder = buildFolder(options) } = {}) {
  if (!target && isBuilt(options, folder)) return folder
  const newest = newestSource()
  const step = target ? `Compiling ${target}` : 'Compiling the addon'
  const bar = new Progress(step)
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js')
  const args = [
    cmakeJs,
    'compile',
    '--out',
    folder,
    '-p',
    String(Math.max(1, availableParallelism())),
  ]
  if (target) args.push('--target', target)
  for (const [name, value] of Object.entries(options)) args.push(`--CD${name}=${value}`)
  const { code, output } = await runShowing(process.execPath, args, bar)
  if (code !== 0) {
    const log = join(folder, 'failed.log')
    mkdirSync(folder, { recursive: true })
    writeFileSync(log, output)
    const [why, remedy] = explain(output)
    throw new StepError(step, why, `${remedy} The whole log is in ${log}`)
  }
  if (!target) writeFileSync(stampFile(folder), String(newest))
  bar.done()
  return folder
}

function runShowing(command, args, bar) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const onData = (chunk) => {
      output = (output + chunk).slice(-4e6)
      // ninja: [12/126]; make: [ 12%]
      const ninja = [...String(chunk).matchAll(/\[(\d+)\/(\d+)\]/g)].at(-1)
      const make = [...String(chunk).matchAll(/\[ *(\d+)%\]/g)].at(-1)
      if (ninja) bar.update(Number(ninja[1]) / Number(ninja[2]))
      else if (make) bar.update(Number(make[1]) / 100)
    }
    child.stdout.on('data', onData)
    child.stderr.on('data', onData)
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

// The sentence that matters out of a long log.
function explain(output) {
  const configure = /CMake Error at[^\n]*\n\s*([\s\S]*?)\n\s*\n/.exec(output)
  if (configure) return [configure[1].replace(/\s+/g, ' ').trim(), '']
  if (/CMake is not installed|cmake.*not found|ENOENT.*cmake/i.test(output))
    return ['cmake was not found.', 'On Debian: apt-get install cmake.']
  if (/No CMAKE_CXX_COMPILER|CMAKE_CXX_COMPILER-NOTFOUND/.test(output))
    return ['no C++ compiler was found.', 'On Debian: apt-get install g++.']
  const compiler = /^.*(?:fatal )?error: .*$/m.exec(output)
  if (compiler) return [compiler[0].trim(), '']
  return ['the compiler stopped.', '']
}
