// run.mjs: the bench: trials × drivers, each in a fresh process, interleaved, medians. Writes bench/results/<trial>.csv, the plots
// and the README's tables. `npm run bench -- [--quick] [--trial speed,load,…] [--repeats 5] [--swaps 1000]`; README.md says which makes what.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { measureLimits } from './limits.mjs'
import { drawPlots } from './plots.mjs'
import { prepare } from './prepare.mjs'
import { save } from './results.mjs'
import { writeTables } from './table.mjs'

const quickTrials = ['speed', 'batch', 'streams', 'load', 'contention', 'cache', 'speculation']
const fullTrials = [
  ...quickTrials,
  ...['prompt', 'generation', 'widths', 'prefix', 'pinned', 'restore'],
  ...['undisturbed', 'latency', 'embed', 'start', 'micro', 'shards', 'quality', 'integrity'],
  ...['swap', 'memory'],
]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    trial: { type: 'string' },
    repeats: { type: 'string' },
    swaps: { type: 'string' },
  },
})
const { quick } = values
const trials = values.trial?.split(',') ?? (quick ? quickTrials : fullTrials)
const unknown = trials.find((trial) => !fullTrials.includes(trial))
if (unknown) throw new Error(`Expected trials out of ${fullTrials.join(', ')}, received ${unknown}`)
// A quarter of an hour is soon over: of the trials that take minutes a round, a quick run makes two.
const slowTrials = ['streams', 'contention', 'cache']
const repeatsOf = (trial) =>
  Number(values.repeats ?? (!quick ? 5 : slowTrials.includes(trial) ? 2 : 3))

await prepare()
const threads = availableParallelism()
let limits
for (let i = 0; i < 3; i++) limits = measureLimits(threads, limits)
for (const name of trials) {
  const begin = performance.now()
  limits = measureLimits(threads, limits)
  const repeats = repeatsOf(name)
  const trial = (await import(`./trials/${name}.mjs`))[name]
  const rows = await trial({ quick, repeats, threads, limits, swaps: values.swaps }).catch(
    (error) => {
      console.error(`${name}:`, error) // the other trials have nothing to do with it
      process.exitCode = 1
      return []
    },
  )
  if (rows.length > 0) save(name, rows, { quick, limits, repeats })
  console.log(`${name}: ${((performance.now() - begin) / 1000).toFixed(0)} s`)
  // After each, so that a bench that is stopped keeps what it has.
  await drawPlots()
  writeTables()
}
