// test-arm.mjs: the tests of the CPU kernels on ARM, without an ARM machine: Debian's cross compiler, and qemu's emulation of a CPU
// that has everything, which says what is right and nothing about speed. `--all`: also what takes minutes there.
// Last line: N passed, N failed, N skipped.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { vendor } from './vendor.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const folder = join(root, 'build-arm64')
const googletest = '/usr/src/googletest/googletest'
const count = { passed: 0, failed: 0, skipped: 0 }

// What is left out of each run: tests that take minutes there; those that look at every set, whichever is in use; and unless
// all is asked for, what plain C++ does as it does elsewhere, and what both sets of NEON do with the same code.
const long = ['*.EveryShapeIsRight*', '*.KeysAndValuesMayBeOfAnyTypes']
const ofAllSets = ['*.EachInstructionSet*', '*.ExtremeWeights*', '*.SetsThat*', '*.EveryHalf*']
const runs = {
  generic: { long: ['AttentionTest.*'], never: [] },
  neondot: { long, never: ofAllSets },
  neoni8mm: { long: ['AttentionTest.*', '*/FloatKernels.*'], never: ofAllSets },
}

function missing() {
  const there = (command) => !spawnSync(command, ['--version'], { stdio: 'ignore' }).error
  if (!there('cmake')) return ['cmake', 'cmake']
  if (!there('aarch64-linux-gnu-g++')) return ['aarch64-linux-gnu-g++', 'g++-aarch64-linux-gnu']
  if (!there('qemu-aarch64')) return ['qemu-aarch64', 'qemu-user']
  if (!existsSync(googletest)) return [googletest, 'libgtest-dev']
}

async function build() {
  await vendor()
  const configure = ['-S', root, '-B', folder, '-DSOTTO_NATIVE=OFF']
  configure.push(`-DCMAKE_TOOLCHAIN_FILE=${join(root, 'scripts', 'aarch64-linux-gnu.cmake')}`)
  configure.push(`-DSOTTO_GTEST_SOURCES=${googletest}`)
  const compile = ['--build', folder, '--target', 'sotto-kernel-tests']
  compile.push('--parallel', String(availableParallelism()))
  return [configure, compile].every((args) => {
    const { status, stdout, stderr } = spawnSync('cmake', args, {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    })
    if (status !== 0) process.stderr.write(`${stdout}${stderr}`.slice(-8000))
    return status === 0
  })
}

function test(kernels, without) {
  const work = mkdtempSync(join(tmpdir(), 'sotto-arm-'))
  const report = join(work, 'gtest.json')
  try {
    const { status } = spawnSync(
      'qemu-aarch64',
      [
        ...['-L', '/usr/aarch64-linux-gnu', '-cpu', 'max'],
        join(folder, 'bin', 'sotto-kernel-tests'),
        `--gtest_filter=-${without.join(':')}`,
        `--gtest_output=json:${report}`,
        '--gtest_brief=1',
      ],
      { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, SOTTO_CPU: kernels } },
    )
    if (!existsSync(report)) {
      count.failed++
      return
    }
    const cases = JSON.parse(readFileSync(report, 'utf8')).testsuites.flatMap((s) => s.testsuite)
    const skipped = cases.filter(({ result }) => result === 'SKIPPED').length
    const failed = cases.filter(({ failures }) => failures).length || (status === 0 ? 0 : 1)
    // Tests skip themselves where the set is not in use: that must not pass for right.
    const unused = kernels !== 'generic' && skipped > 0 ? skipped : 0
    count.skipped += skipped - unused
    count.failed += failed + unused
    count.passed += Math.max(0, cases.length - skipped - failed)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const lacking = missing()
if (lacking) {
  console.log(`skipped: ${lacking[0]} was not found. On Debian: apt-get install ${lacking[1]}`)
  count.skipped++
} else if (await build()) {
  for (const [kernels, { long, never }] of Object.entries(runs)) {
    console.log(`SOTTO_CPU=${kernels}`)
    test(kernels, process.argv.includes('--all') ? never : [...long, ...never])
  }
} else {
  count.failed++
}
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exitCode = count.failed > 0 ? 1 : 0
