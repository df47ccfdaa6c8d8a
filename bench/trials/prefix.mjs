// prefix.mjs: the first token of a prompt, and of a second one that shares 1,000 of its 1,020 tokens.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function prefix({ repeats, threads }) {
  const all = []
  for (const name of ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    const options = { model: path, threads, shared: 1000, own: 20 }
    const runs = ['llama-server', 'sotto'].map((driver) => ({ driver, task: 'prefix', options }))
    const samples = await interleaved(runs, repeats)
    for (const row of rows(samples, ['firstTokenMs', 'sharedFirstTokenMs'], () => 'llama-server'))
      all.push({ model: name, ...row })
  }
  return all
}
