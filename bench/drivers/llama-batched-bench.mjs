// llama-batched-bench.mjs: upstream's steps of several sequences.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { upstream } from '../paths.mjs'

const execute = promisify(execFile)

async function batch({ model, threads, sequences, prompt, generate }) {
  const { stdout } = await execute(
    upstream('llama-batched-bench'),
    [
      ...['-m', model, '-t', String(threads), '-c', String(sequences * (prompt + generate + 64))],
      ...['-npp', String(prompt), '-ntg', String(generate), '-npl', String(sequences)],
      ...['--output-format', 'jsonl'],
    ],
    { maxBuffer: 2 ** 26 },
  )
  const row = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')))
  return { stepMs: (row.t_tg / generate) * 1000, tokensPerSecond: row.speed_tg }
}

export const tasks = { batch }
