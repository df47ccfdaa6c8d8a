// soak-swap.mjs: `npm run soak:swap`: 1,000 swaps under 16 streams, or as many as asked for. Fails when an answer is lost or is not what
// its model says alone, or when memory grows.
//
//   node scripts/soak-swap.mjs [--swaps 1000] [--streams 16] [--shape smol] [--tokens 24] [--growth 64]

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeTinyModel } from './make-tiny-model.mjs'

const { values } = parseArgs({
  options: {
    swaps: { type: 'string', default: '1000' },
    streams: { type: 'string', default: '16' },
    shape: { type: 'string', default: 'smol' },
    tokens: { type: 'string', default: '24' },
    /** Most kilobytes that may be added a swap. */
    growth: { type: 'string', default: '64' },
  },
})
const child = join(dirname(fileURLToPath(import.meta.url)), '..', 'bench', 'child.mjs')
const work = mkdtempSync(join(tmpdir(), 'sotto-soak-'))
process.once('exit', () => rmSync(work, { recursive: true, force: true }))
const type = values.shape === 'tiny' ? 'F32' : 'Q4_0'
const models = [1, 2].map((seed) =>
  makeTinyModel(join(work, `${seed}.gguf`), { shape: values.shape, type, seed }),
)
const [swaps, streams, tokens] = ['swaps', 'streams', 'tokens'].map((name) => Number(values[name]))
const { status, stdout } = spawnSync(
  process.execPath,
  [
    '--expose-gc',
    ...[child, 'sotto-swap', 'swap'],
    JSON.stringify({ models, swaps, streams, tokens, contextSize: 2048 }),
  ],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    env: { ...process.env, SOTTO_HOME: work },
  },
)
if (status !== 0) throw new Error(`Expected the soak to end with 0, received ${status}`)
const outcome = JSON.parse(stdout.trim().split('\n').at(-1))
console.log(outcome)
const wrong = outcome.lost + outcome.corrupt
if (wrong > 0 || outcome.growthKbASwap > Number(values.growth)) process.exitCode = 1
