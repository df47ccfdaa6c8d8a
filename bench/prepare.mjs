// prepare.mjs: builds what the bench compares with: upstream's programs, the probes, and the peers' packages.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { vendor } from '../scripts/vendor.mjs'
import { here, root, upstream } from './paths.mjs'

export function must(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    ...options,
  })
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${status ?? error}\n${stderr ?? ''}`)
  return stdout
}
const shown = { stdio: ['ignore', 'inherit', 'inherit'] }

const flags = [
  'BUILD_SHARED_LIBS=OFF',
  'GGML_OPENMP=OFF',
  'LLAMA_OPENSSL=OFF',
  'LLAMA_BUILD_TESTS=OFF',
  'LLAMA_BUILD_EXAMPLES=OFF',
  'LLAMA_BUILD_APP=OFF',
  'LLAMA_BUILD_UI=OFF',
  'LLAMA_USE_PREBUILT_UI=OFF',
  // Without it llama-bench, too, dies of an illegal instruction where the CPU has AMX and the compiler is GCC 12.
  `CMAKE_CXX_FLAGS=-include ${join(root, 'native', 'ggml', 'amx-tile-config.h')}`,
]
const native = ['GGML_NATIVE=ON']
const avx2 = ['GGML_NATIVE=OFF', 'GGML_AVX2=ON', 'GGML_FMA=ON', 'GGML_F16C=ON', 'GGML_BMI2=ON']

async function buildUpstream(programs, isa, isaFlags) {
  if (programs.every((program) => existsSync(upstream(program, isa)))) return
  const source = join(here, 'llama.cpp')
  await vendor({ target: source, tools: true })
  const folder = join(upstream('', isa), '..')
  const options = [...flags, ...isaFlags].map((flag) => `-D${flag}`)
  must('cmake', ['-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Release', ...options])
  const jobs = ['-j', String(availableParallelism())]
  must('cmake', ['--build', folder, '--target', ...programs, ...jobs], shown)
}

function buildProbes() {
  const source = join(here, 'probes', 'limits.cpp')
  const program = join(here, 'build', 'limits')
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return
  mkdirSync(join(here, 'build'), { recursive: true })
  const options = ['-std=c++17', '-O3', '-march=native', '-pthread']
  must(process.env.CXX ?? 'c++', [...options, source, '-o', program], shown)
}

// Not `npm ci`: one of the peers names an optional package for RISC-V that the registry does not have, and `ci` then finds the lock file,
// which cannot hold it, incomplete. Their install scripts would download what the packages of the registry do not hold, and this bench does not use.
function installPeers() {
  const lock = join(here, 'package-lock.json')
  const installed = join(here, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs > statSync(lock).mtimeMs) return
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  must(npm, ['install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: here,
    ...shown,
  })
}

export async function prepare() {
  const programs = ['llama-bench', 'llama-batched-bench', 'llama-server', 'llama-quantize']
  await buildUpstream(programs, '', native)
  if (process.arch === 'x64')
    await buildUpstream(['llama-bench', 'llama-batched-bench'], 'avx2', avx2)
  buildProbes()
  installPeers()
}
