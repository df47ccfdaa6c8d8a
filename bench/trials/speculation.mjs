// speculation.mjs: the real model on prompts that its answers copy from, and on chat; with speculation against without.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function speculation({ quick, repeats, threads }) {
  const { name, path } = await model('smollm2-135m-instruct')
  const all = []
  for (const kind of ['copy', 'chat']) {
    const options = { model: path, threads, kind, rounds: quick ? 3 : 5 }
    const samples = await interleaved(
      [{ driver: 'sotto', task: 'speculation', options }],
      quick ? 1 : repeats,
    )
    for (const row of rows(samples, ['gain'])) all.push({ model: name, kind, ...row })
  }
  return all
}
