// restore.mjs: what it takes to go on with a conversation of 2,000 tokens that lies in a file, against computing it again.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function restore({ repeats, threads }) {
  const all = []
  for (const name of ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    const run = (encrypted) => ({
      label: encrypted ? 'encrypted' : 'plain',
      driver: 'sotto',
      task: 'restore',
      options: { model: path, threads, tokens: 2000, asks: 7, encrypted },
    })
    const samples = await interleaved([run(true), run(false)], repeats)
    for (const { driver: file, ...row } of rows(samples, ['restoreOfComputed'], () => ''))
      all.push({ model: name, file, ...row })
  }
  return all
}
