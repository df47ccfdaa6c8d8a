// micro.mjs: micro-benches of the TypeScript and binding layers, by the benchmark package.

import { join } from 'node:path'
import { round } from '../measure.mjs'
import { here } from '../paths.mjs'
import { must } from '../prepare.mjs'

export async function micro() {
  const outcomes = JSON.parse(must(process.execPath, [join(here, 'micro', 'layers.mjs')]))
  return outcomes.map(({ what, us, deviationPercent }) => ({
    what,
    us: round(us),
    deviationPercent: round(deviationPercent),
  }))
}
