// leaks.mjs: memory that is not given back or is not ours, looked for in eight ways. `npm run test:leaks` runs them all;
// `--only=<name>` one.
// Last line: N passed, N failed, N skipped.
//
//   slope             RSS over 300 load/close cycles of a tiny model and 30 of the real one
//   lsan              LeakSanitizer, preloaded: every block lost at exit, no rebuild
//   valgrind          the same with valgrind --leak-check=full, and every invalid read or write, on the prebuilt variants
//   asan              the addon built with AddressSanitizer
//   asan-ggml         distorted calls of sotto/ggml under it, with poisoned gaps between tensors: rules that are too wide
//   tsan              the engine's C++ tests built with ThreadSanitizer
//   asan-kernels      the kernels' C++ tests built with AddressSanitizer, with every instruction set that this CPU has
//   valgrind-kernels  the same tests under valgrind, with AVX2: it knows nothing newer

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeTinyModel } from './make-tiny-model.mjs'
import { buildNative } from './native.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const work = mkdtempSync(join(tmpdir(), 'sotto-leaks-'))
const tiny = makeTinyModel(join(work, 'tiny.gguf'))
const bert = makeTinyModel(join(work, 'bert.gguf'), { kind: 'bert' })
const cycles = join(root, 'scripts', 'leak-cycles.mjs')

function run(command, args, environment = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, ...environment },
  })
  return { missing: error?.code === 'ENOENT', ok: status === 0, output: `${stdout}\n${stderr}` }
}

function library(name) {
  const { output } = run('gcc', [`-print-file-name=${name}`])
  const path = output.trim()
  return existsSync(path) ? path : undefined
}

const memcheck = [
  '--leak-check=full',
  '--show-leak-kinds=definite,indirect',
  '--errors-for-leak-kinds=definite,indirect',
  '--error-exitcode=23',
  '--num-callers=30',
  '--fair-sched=yes',
]

const hasGoogleTest = () =>
  existsSync('/usr/include/gtest/gtest.h') ? undefined : { skipped: 'libgtest-dev was not found' }

const kernelTests = async (options) =>
  join(await buildNative(options, { target: 'sotto-kernel-tests' }), 'bin', 'sotto-kernel-tests')

// These go through all instruction sets; the others compute with the one that SOTTO_CPU names, or are skipped.
const ofAllSets = '*EachInstructionSet*:*Extreme*:*EveryHalf*'
// Two and a half minutes under valgrind, of the same code in yet other shapes.
const long = '*KeysAndValuesMayBeOfAnyTypes:*AQueryGetsTheSameBits*'

const ways = {
  slope() {
    // glibc keeps what was freed at the top of its arenas, now more, now less, up to twice the mmap threshold, which grows by
    // itself unless it is set: that is no leak, and hides one.
    return run(process.execPath, ['--expose-gc', cycles, 'slope', tiny], {
      MALLOC_MMAP_THRESHOLD_: '131072',
    })
  },
  lsan() {
    const preload = library('liblsan.so')
    if (!preload) return { skipped: 'liblsan was not found' }
    return run(process.execPath, [cycles, 'cycle', tiny, bert], {
      LD_PRELOAD: preload,
      LSAN_OPTIONS: `suppressions=${join(root, 'scripts', 'lsan.supp')}:exitcode=23`,
    })
  },
  valgrind() {
    if (!existsSync(join(root, 'prebuilds')))
      return { skipped: 'needs the prebuilt variants: npm run prebuild' }
    // valgrind knows no AVX-512; it hides it from CPUID, and the loader then takes the AVX2 variant.
    const outcome = run(
      'valgrind',
      [
        ...memcheck,
        `--suppressions=${join(root, 'scripts', 'valgrind.supp')}`,
        process.execPath,
        cycles,
        'cycle',
        tiny,
        bert,
      ],
      { PREBUILDS_ONLY: '1', SOTTO_CYCLES: '2' },
    )
    return outcome.missing ? { skipped: 'valgrind was not found' } : outcome
  },
  async asan() {
    const preload = library('libasan.so')
    if (!preload) return { skipped: 'libasan was not found' }
    const folder = await buildNative({ SOTTO_SANITIZE: 'address' })
    return run(process.execPath, [cycles, 'cycle', tiny, bert], {
      LD_PRELOAD: preload,
      SOTTO_ADDON: join(folder, 'Release', 'sotto.node'),
      ASAN_OPTIONS: 'detect_leaks=1:exitcode=23',
      LSAN_OPTIONS: `suppressions=${join(root, 'scripts', 'lsan.supp')}`,
    })
  },
  async 'asan-ggml'() {
    const preload = library('libasan.so')
    if (!preload) return { skipped: 'libasan was not found' }
    const folder = await buildNative({ SOTTO_SANITIZE: 'address' })
    const fuzzer = join(root, 'scripts', 'fuzz-ggml.mjs')
    return run(process.execPath, [fuzzer, '--seed', '31', '--cases', '2000'], {
      LD_PRELOAD: preload,
      SOTTO_ADDON: join(folder, 'Release', 'sotto.node'),
      ASAN_OPTIONS: 'detect_leaks=0:exitcode=23',
    })
  },
  async tsan() {
    if (hasGoogleTest()) return hasGoogleTest()
    const folder = await buildNative(
      { SOTTO_SANITIZE: 'thread', SOTTO_NATIVE: 'OFF' },
      { target: 'sotto-native-tests' },
    )
    return run(join(folder, 'bin', 'sotto-native-tests'), ['--gtest_brief=1'], {
      SOTTO_TEST_MODEL: tiny,
      TSAN_OPTIONS: `suppressions=${join(root, 'scripts', 'tsan.supp')}:exitcode=23`,
    })
  },
  async 'asan-kernels'() {
    if (hasGoogleTest()) return hasGoogleTest()
    const tests = await kernelTests({ SOTTO_SANITIZE: 'address' })
    const environment = {
      ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:exitcode=23',
    }
    for (const set of ['all', 'generic', 'avx2', 'avxvnni', 'avx512vnni', 'avx512amx']) {
      const args = ['--gtest_brief=1', `--gtest_filter=${set === 'all' ? '' : '-'}${ofAllSets}`]
      const outcome = run(
        tests,
        args,
        set === 'all' ? environment : { ...environment, SOTTO_CPU: set },
      )
      if (!outcome.ok) return { ...outcome, output: `SOTTO_CPU=${set}\n${outcome.output}` }
    }
    return { ok: true }
  },
  async 'valgrind-kernels'() {
    if (hasGoogleTest()) return hasGoogleTest()
    if (run('valgrind', ['--version']).missing) return { skipped: 'valgrind was not found' }
    const tests = await kernelTests({ SOTTO_NATIVE: 'OFF' })
    return run('valgrind', [...memcheck, tests, '--gtest_brief=1', `--gtest_filter=-${long}`], {
      SOTTO_CPU: 'avx2',
    })
  },
}

const only = process.argv
  .find((argument) => argument.startsWith('--only='))
  ?.slice('--only='.length)
  .split(',')
const count = { passed: 0, failed: 0, skipped: 0 }
try {
  for (const [name, way] of Object.entries(ways)) {
    if (only && !only.includes(name)) continue
    const start = Date.now()
    let outcome
    try {
      outcome = await way()
    } catch (error) {
      outcome = { ok: false, output: error.message }
    }
    const seconds = ((Date.now() - start) / 1000).toFixed(0)
    if (outcome.skipped) {
      count.skipped++
      console.log(`${name}: skipped, ${outcome.skipped}`)
    } else if (outcome.ok) {
      count.passed++
      console.log(`${name}: nothing lost (${seconds} s)`)
    } else {
      count.failed++
      console.log(`${name}: FAILED (${seconds} s)\n${outcome.output.slice(-8000)}`)
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exitCode = count.failed > 0 ? 1 : 0
