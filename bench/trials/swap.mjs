// swap.mjs: a model is swapped under 16 streams: 1,000 times SmolLM2's shape, 10,000 times a tiny one, which takes hours; --swaps makes fewer of both.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

const hour = 60 * 60_000

export async function swap({ quick, threads, swaps: wanted }) {
  const all = []
  for (const [name, most] of [
    ['smol Q4_0', quick ? 50 : 1000],
    ['tiny F32', quick ? 200 : 10_000],
  ]) {
    const swaps = Math.min(most, Number(wanted ?? most))
    const models = [await model(name), await model(`${name} 2`)].map(({ path }) => path)
    const options = { models, swaps, streams: 16, tokens: 24, contextSize: 2048, threads }
    const run = { driver: 'sotto-swap', task: 'swap', options, patienceMs: hour }
    for (const { driver: _, ...row } of rows(await interleaved([run], 1), []))
      all.push({ model: name, ...row })
  }
  return all
}
