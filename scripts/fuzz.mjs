// fuzz.mjs: coverage-guided fuzzing of everything that reads a stranger's bytes: test/fuzz/targets, by Jazzer.js, which is libFuzzer under Node, and
// test/fuzz/native, by libFuzzer itself.
//
//   npm run fuzz [-- --seconds 60] [--only gguf,manifest] [--seed 1] [--again file]
//
// What was found interesting stays in test/fuzz/corpus, an input that breaks a target in test/fuzz/findings: it becomes a test.
// Jazzer's addon is compiled against the compiler's own libFuzzer (Debian: clang, and libclang-rt of its version).
// Last line: N passed, N failed, N skipped.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const home = join(root, 'test', 'fuzz')
const jazzer = join(home, 'node_modules', '@jazzer.js')
const addon = join(jazzer, 'fuzzer', 'build', 'Release', 'jazzerjs.node')
const build = join(home, 'build', String(process.pid)) // two runs at once are no trouble

function must(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    ...options,
  })
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? `${stdout}\n${stderr}`}`)
  return stdout
}

const found = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

/** Jazzer and its addon, once. */
function prepareJazzer(clang) {
  if (existsSync(addon)) return
  must('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: home })
  const libFuzzer = must(clang, [
    '-print-file-name=lib/linux/libclang_rt.fuzzer_no_main-x86_64.a',
  ]).trim()
  const runtime = existsSync(libFuzzer)
    ? libFuzzer
    : join(
        must(clang, ['-print-resource-dir']).trim(),
        'lib',
        'linux',
        `libclang_rt.fuzzer_no_main-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.a`,
      )
  const sources = ['.', 'shared'].flatMap((folder) =>
    readdirSync(join(jazzer, 'fuzzer', folder))
      .filter((name) => name.endsWith('.cpp'))
      .map((name) => join(folder, name)),
  )
  const require = createRequire(join(root, 'package.json'))
  mkdirSync(dirname(addon), { recursive: true })
  must(
    clang,
    [
      ...['-std=c++17', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8', '-w'],
      ...['-I', join(home, 'jazzer'), '-I', '.'],
      ...['-I', require('node-api-headers').include_dir],
      ...['-I', dirname(require.resolve('node-addon-api'))],
      ...sources,
      join(home, 'jazzer', 'callers.cpp'),
      ...['-Wl,--whole-archive', runtime, '-Wl,--no-whole-archive', '-o', addon],
    ],
    { cwd: join(jazzer, 'fuzzer') },
  )
}

/** Targets and what they test as CommonJS, which is what Jazzer instruments. */
function compileTargets() {
  const targets = readdirSync(join(home, 'targets')).map((name) => join(home, 'targets', name))
  must(process.execPath, [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    ...[
      '--outDir',
      build,
      '--rootDir',
      root,
      '--module',
      'commonjs',
      '--moduleResolution',
      'node10',
    ],
    ...['--target', 'es2022', '--lib', 'es2023,es2024.string,esnext.disposable,dom.asynciterable'],
    ...[
      '--types',
      'node',
      '--skipLibCheck',
      '--strict',
      '--esModuleInterop',
      '--ignoreDeprecations',
      '5.0',
    ],
    ...targets,
  ])
  writeFileSync(join(build, 'package.json'), '{ "type": "commonjs" }\n')
}

/** The one in C++, with the libraries that the addon is linked from, and its seed. */
async function compileNative(clang) {
  const { buildNative } = await import('./native.mjs')
  const archives = join(await buildNative({}), 'native')
  const upstream = join(root, 'native', 'ggml', 'llama.cpp')
  const sources = ['context-state.cpp', 'state-layout.cpp']
  mkdirSync(build, { recursive: true })
  must(clang, [
    ...['-std=c++20', '-O1', '-g', '-w', '-fsanitize=fuzzer,address'],
    ...['-I', join(root, 'native'), '-I', join(upstream, 'include')],
    ...['-I', join(upstream, 'ggml', 'include')],
    join(home, 'native', 'state.cpp'),
    ...sources.map((name) => join(root, 'native', 'engine', name)),
    join(archives, 'ggml', 'src', 'libllama.a'),
    ...['ggml', 'ggml-cpu', 'ggml-base'].map((name) =>
      join(archives, 'ggml', 'ggml', 'src', `lib${name}.a`),
    ),
    ...['-lpthread', '-ldl', '-lm', '-o', join(build, 'state')],
  ])
  const { makeTinyModel } = await import('./make-tiny-model.mjs')
  makeTinyModel(join(build, 'tiny.gguf'))
}

/** Inputs to begin with: real files of each kind, small. */
async function writeSeeds(target, folder) {
  mkdirSync(folder, { recursive: true })
  if (natives.includes(target)) {
    must(join(build, target), [], {
      env: nativeEnvironment({ SOTTO_FUZZ_SEED: join(folder, 'one') }),
    })
    return
  }
  const seeds = await import('../test/fuzz/seeds.mjs')
  for (const [name, bytes] of Object.entries(
    await seeds[target.replace(/-(.)/g, (_, letter) => letter.toUpperCase())](),
  ))
    writeFileSync(join(folder, name), bytes)
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '0' }, // 0: another one each time
    only: { type: 'string' },
    again: { type: 'string' },
  },
})
const clang = ['clang++', 'clang++-19', 'clang++-16', 'clang++-15', 'clang++-14'].find(found)
const natives = ['state']
const all = [
  ...['gguf', 'manifest', 'legacy', 'imatrix', 'state-header', 'load', 'metadata'],
  ...natives,
]
const targets = values.only ? values.only.split(',') : all
const unknown = targets.find((target) => !all.includes(target))
if (unknown) {
  console.error(`Expected --only to name some of ${all.join(', ')}, received ${unknown}`)
  process.exit(2)
}
if (!clang || process.platform !== 'linux') {
  console.log(
    'fuzzing skipped: needs Linux and clang with libFuzzer (Debian: clang libclang-rt-14-dev)',
  )
  console.log(`0 passed, 0 failed, ${targets.length} skipped`)
  process.exit(0)
}
const nativeEnvironment = (more) => ({
  ...process.env,
  SOTTO_FUZZ_MODEL: join(build, 'tiny.gguf'),
  // What upstream allocates once is its own; the addresses of gcc's libraries and clang's target do not mix in leak reports.
  ASAN_OPTIONS: 'detect_leaks=0',
  ...more,
})
process.on('exit', () => rmSync(build, { recursive: true, force: true }))
if (targets.some((target) => !natives.includes(target))) {
  prepareJazzer(clang)
  compileTargets()
}
if (targets.some((target) => natives.includes(target))) await compileNative(clang)

/** Resolves with what is wrong, or undefined. What it prints is shown when it ends: several run at once. */
async function fuzz(target) {
  const corpus = join(home, 'corpus', target)
  const findings = join(home, 'findings', target)
  const seeds = mkdtempSync(join(tmpdir(), `sotto-seeds-${target}-`))
  await writeSeeds(target, seeds)
  mkdirSync(corpus, { recursive: true })
  mkdirSync(findings, { recursive: true })
  const inputs = values.again ? [] : [corpus, seeds]
  const options = values.again
    ? [values.again]
    : [
        `-max_total_time=${values.seconds}`,
        `-seed=${values.seed}`,
        `-artifact_prefix=${findings}/`,
        ...['-max_len=65536', '-len_control=0'],
      ]
  options.push('-rss_limit_mb=4096', '-print_final_stats=1', '-verbosity=0')
  const [program, ...args] = natives.includes(target)
    ? [join(build, target), ...inputs, ...options]
    : [
        ...[process.execPath, join(jazzer, 'core', 'dist', 'cli.js')],
        join(build, 'test', 'fuzz', 'targets', `${target}.js`),
        ...inputs,
        ...['-i', join(build, 'lib'), '--disable_bug_detectors', '.*', '--timeout', '10000'],
        ...['--', ...options],
      ]
  const child = spawn(program, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: nativeEnvironment({ SOTTO_FUZZ_FINDINGS: findings }),
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-20_000)
    })
  const [code, signal] = await once(child, 'close')
  rmSync(seeds, { recursive: true, force: true })
  const last = join(findings, 'last.gguf')
  if (code !== 0 && existsSync(last)) renameSync(last, join(findings, `${Date.now()}.gguf`))
  const runs = /number_of_executed_units: (\d+)/.exec(output)?.[1]
  console.log(
    code === 0
      ? `${target}: clean, ${runs ?? 1} inputs`
      : `${target}: a finding (${code ?? signal}), see ${findings}\n${output}`,
  )
  return code === 0
}

const waiting = targets.slice()
let failed = 0
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let target = waiting.shift(); target; target = waiting.shift())
      if (!(await fuzz(target))) failed++
  }),
)
console.log(`${targets.length - failed} passed, ${failed} failed, 0 skipped`)
process.exit(failed ? 1 : 0)
