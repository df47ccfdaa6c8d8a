// run.mjs: the bench: trials × drivers, each in a fresh process, interleaved, medians. Writes bench/results/<trial>.csv with the
// machine in its header. `npm run bench -- [--repeats 5] [--trial generation|latency] [--shapes smol,oneb] [--no-peer]`.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeTinyModel } from '../scripts/make-tiny-model.mjs'
import { vendor } from '../scripts/vendor.mjs'
import { drivers, here, tokensPerSecond } from './drivers.mjs'

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
const tokens = { smol: 400, oneb: 96 }

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

function generation() {
  const rows = []
  for (const shape of values.shapes.split(',')) {
    const model = join(here, 'models', `${shape}-Q4_0.gguf`)
    const samples = new Map(Object.keys(drivers).map((driver) => [driver, []]))
    if (values['no-peer']) samples.delete('node-llama-cpp')
    for (let i = 0; i < repeats; i++) {
      for (const [driver, list] of samples) {
        const [command, ...args] = drivers[driver](model, { tokens: tokens[shape], threads })
        list.push(tokensPerSecond(must(command, args, { cwd: here })))
      }
    }
    const yardstick = median(samples.get('llama-bench'))
    for (const [driver, list] of samples) {
      rows.push({
        shape: `${shape} Q4_0`,
        driver,
        tokensPerSecond: round(median(list)),
        least: round(Math.min(...list)),
        most: round(Math.max(...list)),
        ofLlamaBench: round(median(list) / yardstick),
      })
    }
  }
  save('generation', rows)
}

function long() {
  const model = join(here, 'models', 'smol-Q4_0.gguf')
  const runs = Array.from({ length: Math.min(3, repeats) }, () =>
    JSON.parse(
      must(process.execPath, [
        '--expose-gc',
        join(here, 'trials', 'sotto-generate.mjs'),
        model,
        '4000',
        String(threads),
      ]),
    ),
  )
  const short = JSON.parse(
    must(process.execPath, [
      '--expose-gc',
      join(here, 'trials', 'sotto-generate.mjs'),
      model,
      '400',
      String(threads),
    ]),
  )
  save('long', [
    { what: 'heap growth over 400 tokens, KB', value: round(short.heapGrowthBytes / 1024) },
    {
      what: 'heap growth over 4,000 tokens, KB',
      value: round(median(runs.map((run) => run.heapGrowthBytes)) / 1024),
    },
    {
      what: 'native tokens/s over 4,000 tokens',
      value: round(median(runs.map((run) => run.nativeTokensPerSecond))),
    },
    {
      what: 'through for await, tokens/s',
      value: round(median(runs.map((run) => run.tokensPerSecond))),
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

await prepare()
const trials = { generation, latency, long }
for (const [name, trial] of Object.entries(trials))
  if (!values.trial || values.trial === name) trial()
