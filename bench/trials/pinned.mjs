// pinned.mjs: the first token of a chat whose system prompt is pinned, of one that has none, and of one that computes it.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function pinned({ repeats, threads }) {
  const all = []
  for (const name of ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    for (const prefix of [250, 1000]) {
      const options = { model: path, threads, prefix, asks: 9 }
      const samples = await interleaved([{ driver: 'sotto', task: 'pinned', options }], repeats)
      for (const row of rows(samples, ['pinnedOfNone'], () => ''))
        all.push({ model: name, prefix, ...row })
    }
  }
  return all
}
