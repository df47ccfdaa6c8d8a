// llama-bench.mjs: upstream's own bench, built natively from the vendored sources, or for AVX2 alone.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { upstream } from '../paths.mjs'

const execute = promisify(execFile)

async function speed({ model, threads, prompt = 0, generate = 0, depth = 0, cacheType, isa }) {
  const { stdout } = await execute(
    upstream('llama-bench', isa),
    [
      ...['-m', model, '-t', String(threads), '-r', '1', '-o', 'json'],
      ...['-p', String(prompt), '-n', String(generate), '-d', String(depth)],
      ...(cacheType ? ['-ctk', cacheType, '-ctv', cacheType, '-fa', 'on'] : []),
    ],
    { maxBuffer: 2 ** 26 },
  )
  const tests = JSON.parse(stdout)
  const of = (test) => test?.avg_ts
  return {
    ...(prompt && { promptPerSecond: of(tests.find((test) => test.n_prompt > 0)) }),
    ...(generate && { tokensPerSecond: of(tests.find((test) => test.n_gen > 0)) }),
  }
}

export const tasks = { speed }
