// run.mjs: the bench: trials × drivers, each in a fresh process, interleaved, medians. Writes bench/results/<trial>.csv with the
// machine in its header. `npm run bench -- [--repeats 5] [--trial generation|contention|prompt|latency|long|start] [--shapes smol,oneb] [--no-peer]`.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeTinyModel } from '../scripts/make-tiny-model.mjs'
import { vendor } from '../scripts/vendor.mjs'
import { generationDrivers, here, promptDrivers, tokensPerSecond } from './drivers.mjs'

const { values } = parseArgs({
  options: {
    repeats: { type: 'string', default: '5' },
    trial: { type: 'string' },
    shapes: { type: 'string', default: 'smol,oneb' },
    'no-peer': { type: 'boolean', default: false },
  },
})
const repeats = Number(values.repeats)
const threads = cpus().length
const generated = { smol: 400, oneb: 96 }

function must(command, args, options = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    ...options,
  })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}\n${stderr}`)
  return stdout
}

async function prepare() {
  mkdirSync(join(here, 'models'), { recursive: true })
  mkdirSync(join(here, 'results'), { recursive: true })
  for (const shape of values.shapes.split(',')) {
    const path = join(here, 'models', `${shape}-Q4_0.gguf`)
    if (!existsSync(path)) makeTinyModel(path, { shape, type: 'Q4_0' })
  }
  if (!existsSync(join(here, 'build', 'bin', 'llama-bench'))) {
    const source = join(here, 'llama.cpp')
    await vendor({ target: source, tools: true })
    const flags = [
      'BUILD_SHARED_LIBS=OFF',
      'GGML_NATIVE=ON',
      'GGML_OPENMP=OFF',
      'LLAMA_OPENSSL=OFF',
      'LLAMA_BUILD_TESTS=OFF',
      'LLAMA_BUILD_EXAMPLES=OFF',
      'LLAMA_BUILD_APP=OFF',
      'LLAMA_BUILD_UI=OFF',
      'LLAMA_USE_PREBUILT_UI=OFF',
      // Without it llama-bench, too, dies of an illegal instruction where the CPU has AMX and the compiler is GCC 12.
      `CMAKE_CXX_FLAGS=-include ${join(here, '..', 'native', 'ggml', 'amx-tile-config.h')}`,
    ]
    must('cmake', [
      '-S',
      source,
      '-B',
      join(here, 'build'),
      '-DCMAKE_BUILD_TYPE=Release',
      ...flags.map((flag) => `-D${flag}`),
    ])
    must(
      'cmake',
      ['--build', join(here, 'build'), '--target', 'llama-bench', '-j', String(threads)],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    )
  }
  if (!values['no-peer'] && !existsSync(join(here, 'node_modules', 'node-llama-cpp'))) {
    must('npm', ['install', '--no-audit', '--no-fund', '--no-package-lock'], {
      cwd: here,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]
const round = (value) => Number(value.toFixed(2))
// Runs side by side meet the same mood of the machine: the median of their ratios wavers less than the ratio of medians.
const of = (list, others) => round(median(list.map((value, i) => value / others[i])))
const machine = `# ${cpus()[0].model}, ${threads} threads, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform}-${process.arch}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`

function save(name, rows) {
  const columns = Object.keys(rows[0])
  const csv = [
    machine,
    columns.join(','),
    ...rows.map((row) => columns.map((column) => JSON.stringify(row[column])).join(',')),
  ].join('\n')
  writeFileSync(join(here, 'results', `${name}.csv`), `${csv}\n`)
  console.table(rows)
}

/** Drivers in turn, so that a mood of the machine meets all of them. */
function speeds(drivers, tokensOf, also = {}) {
  const rows = []
  for (const shape of values.shapes.split(',')) {
    const model = join(here, 'models', `${shape}-Q4_0.gguf`)
    const samples = new Map(Object.keys(drivers).map((driver) => [driver, []]))
    if (values['no-peer']) samples.delete('node-llama-cpp')
    for (let i = 0; i < repeats; i++) {
      for (const [driver, list] of samples) {
        const [command, ...args] = drivers[driver](model, { tokens: tokensOf(shape), threads })
        list.push(tokensPerSecond(must(command, args, { cwd: here })))
      }
    }
    for (const [driver, list] of samples) {
      rows.push({
        shape: `${shape} Q4_0`,
        ...also,
        driver,
        tokensPerSecond: round(median(list)),
        least: round(Math.min(...list)),
        most: round(Math.max(...list)),
        ofLlamaBench: of(list, samples.get('llama-bench')),
        ofSotto: of(list, samples.get('sotto')),
      })
    }
  }
  return rows
}

const generation = () =>
  save(
    'generation',
    speeds(generationDrivers, (shape) => generated[shape]),
  )
const prompt = () =>
  save(
    'prompt',
    speeds(promptDrivers, () => 512),
  )

/** Generation beside other programs that never rest. */
async function contention() {
  const names = ['llama-bench', 'sotto', 'node-llama-cpp']
  const drivers = Object.fromEntries(names.map((name) => [name, generationDrivers[name]]))
  const rows = []
  for (const busy of [0, 1, 2]) {
    const others = Array.from({ length: busy }, () => spawn(process.execPath, ['-e', 'for (;;);']))
    try {
      rows.push(...speeds(drivers, (shape) => generated[shape] / 2, { busyPrograms: busy }))
    } finally {
      for (const other of others) other.kill('SIGKILL')
    }
  }
  save('contention', rows)
}

function long() {
  const model = join(here, 'models', 'smol-Q4_0.gguf')
  const generate = (tokens) =>
    JSON.parse(
      must(process.execPath, [
        '--expose-gc',
        join(here, 'trials', 'sotto-generate.mjs'),
        model,
        String(tokens),
        String(threads),
      ]),
    )
  const times = Math.min(3, repeats)
  const short = Array.from({ length: times }, () => generate(400))
  const yardstick = []
  const runs = Array.from({ length: times }, () => {
    const [command, ...args] = generationDrivers['llama-bench'](model, { tokens: 4000, threads })
    yardstick.push(tokensPerSecond(must(command, args)))
    return generate(4000)
  })
  const middle = (list, what) => round(median(list.map((run) => run[what])))
  const rates = runs.map((run) => run.tokensPerSecond)
  save('long', [
    { what: 'llama-bench, 4,000 tokens, tokens/s', value: round(median(yardstick)) },
    { what: 'sotto through for await, tokens/s', value: round(median(rates)) },
    { what: 'sotto of llama-bench', value: of(rates, yardstick) },
    {
      what: 'JS thread, us a token, tokens 1 to 2,000',
      value: middle(runs, 'firstHalfUs'),
    },
    {
      what: 'JS thread, us a token, tokens 2,001 to 4,000',
      value: middle(runs, 'secondHalfUs'),
    },
    {
      what: 'heap growth over 400 tokens, KB',
      value: round(middle(short, 'heapGrowthBytes') / 1024),
    },
    {
      what: 'heap growth over 4,000 tokens, KB',
      value: round(middle(runs, 'heapGrowthBytes') / 1024),
    },
  ])
}

function latency() {
  const model = join(here, 'models', 'smol-Q4_0.gguf')
  const runs = Array.from({ length: repeats }, () =>
    JSON.parse(
      must(process.execPath, [join(here, 'trials', 'sotto-latency.mjs'), model, String(threads)]),
    ),
  )
  save(
    'latency',
    Object.keys(runs[0]).map((what) => ({
      what,
      median: round(median(runs.map((run) => run[what]))),
      worst: round(Math.max(...runs.map((run) => run[what]))),
    })),
  )
}

/** From the command to the first character of the answer, everything being set up: what a user of `npm start` waits. */
async function start() {
  const times = []
  for (let i = 0; i <= repeats; i++) {
    const begin = performance.now()
    const child = spawn('npm', ['start', '--silent', '--', 'Why is the sky blue?'], {
      cwd: join(here, '..'),
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await once(child.stdout, 'data')
    times.push(performance.now() - begin)
    child.stdout.resume()
    await once(child, 'exit')
  }
  times.shift() // the first one may have had something to set up
  save('start', [
    {
      what: 'npm start, first token, ms',
      median: round(median(times)),
      worst: round(Math.max(...times)),
    },
  ])
}

await prepare()
const trials = { generation, contention, prompt, latency, long, start }
for (const [name, trial] of Object.entries(trials))
  if (!values.trial || values.trial === name) await trial()
