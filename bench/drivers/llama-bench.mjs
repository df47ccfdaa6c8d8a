// llama-bench.mjs: upstream's own bench, built natively from the vendored sources, or for AVX2 alone.

import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import { promisify } from 'node:util'
import { upstream } from '../paths.mjs'

const execute = promisify(execFile)

// Its warm-up is the whole prompt once more. What is so long that first pages and graphs do not show in it gets what ours gets: a prompt
// of 32 before it, in the same process.
const longWork = 2 ** 40 // bytes of weights × tokens
const short = 32

async function speed({ model, threads, prompt = 0, generate = 0, depth = 0, cacheType, isa }) {
  const long = statSync(model).size * prompt > longWork
  const { stdout } = await execute(
    upstream('llama-bench', isa),
    [
      ...['-m', model, '-t', String(threads), '-r', '1', '-o', 'json', '-d', String(depth)],
      ...['-p', long ? `${short},${prompt}` : String(prompt), '-n', String(generate)],
      ...(long ? ['--no-warmup'] : []),
      ...(cacheType ? ['-ctk', cacheType, '-ctv', cacheType, '-fa', 'on'] : []),
    ],
    { maxBuffer: 2 ** 26 },
  )
  const tests = JSON.parse(stdout)
  const of = (test) => test?.avg_ts
  return {
    ...(prompt && { promptPerSecond: of(tests.find((test) => test.n_prompt === prompt)) }),
    ...(generate && { tokensPerSecond: of(tests.find((test) => test.n_gen > 0)) }),
  }
}

export const tasks = { speed }
