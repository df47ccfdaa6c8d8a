// latency.mjs: aborts during a prefill, and the event loop's delay while an answer streams.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function latency({ repeats, threads }) {
  const { name, path } = await model('smol Q4_0')
  const run = { driver: 'sotto', task: 'latency', options: { model: path, threads } }
  const samples = await interleaved([run], repeats)
  return rows(samples, ['abortP99Ms', 'delayAboveIdleMs']).map((row) => ({ model: name, ...row }))
}
