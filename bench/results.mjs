// results.mjs: rows to CSV and back. The first line of a file says on which machine, when and of what it was measured.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { here, root } from './paths.mjs'

const file = (name, quick) => join(here, 'results', ...(quick ? ['quick'] : []), `${name}.csv`)

function machine(limits, repeats) {
  const [cpu] = cpus()
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root }).toString()
  const reached = Object.entries(limits.all)
    .filter(([name]) => name !== 'threads')
    .map(([name, rate]) =>
      name === 'memory'
        ? `${(rate / 1e9).toFixed(1)} GB/s`
        : `${name} ${(rate / 1e12).toFixed(2)} T/s`,
    )
  return [
    `${cpu.model}, ${cpus().length} threads, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    ...reached,
    `${process.platform}-${process.arch}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`,
    `commit ${commit.trim()}, medians of ${repeats}`,
  ].join(', ')
}

export function save(name, rows, { quick, limits, repeats }) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const lines = rows.map((row) =>
    columns.map((column) => JSON.stringify(row[column]) ?? '').join(','),
  )
  const path = file(name, quick)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(
    path,
    `${[`# ${machine(limits, repeats)}`, columns.join(','), ...lines].join('\n')}\n`,
  )
  console.log(`\n${name}`)
  console.table(rows)
}

/** Its rows and its first line; without rows when the trial has not been run. */
export function read(name, quick) {
  const path = file(name, quick)
  if (!existsSync(path)) return { rows: [], machine: undefined }
  const [first, head, ...lines] = readFileSync(path, 'utf8').trim().split('\n')
  const columns = head.split(',')
  const rows = lines.map((line) => {
    const cells = [...line.matchAll(/("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)/g)].map(([, cell]) => cell)
    const entries = columns.map((column, i) => [
      column,
      cells[i] ? JSON.parse(cells[i]) : undefined,
    ])
    return Object.fromEntries(entries)
  })
  return { rows, machine: first.replace(/^# /, '') }
}
