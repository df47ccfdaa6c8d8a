// llama-batched-bench.mjs: upstream's steps of several sequences.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { upstream } from '../paths.mjs'
import { ofSteps } from './prompts.mjs'

const execute = promisify(execFile)

/** Steps of each of `counts` sequences, in one process. */
async function steps({ model, threads, counts, prompt, generate, isa }) {
  const contextSize = Math.max(...counts) * (prompt + generate + 64)
  const { stdout } = await execute(
    upstream('llama-batched-bench', isa),
    [
      ...['-m', model, '-t', String(threads), '-c', String(contextSize)],
      ...['-npp', String(prompt), '-ntg', String(generate), '-npl', counts.join(',')],
      ...['--output-format', 'jsonl'],
    ],
    { maxBuffer: 2 ** 26 },
  )
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .map(({ t_tg, speed_tg }) => ({ stepMs: (t_tg / generate) * 1000, tokensPerSecond: speed_tg }))
}

const { batch, widths } = ofSteps(steps)

export const tasks = { batch, widths }
