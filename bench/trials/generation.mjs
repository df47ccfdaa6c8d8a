// generation.mjs: tokens a second behind contexts of every length.

import { ofLimit } from '../limits.mjs'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { generated } from './speed.mjs'

// llama-bench takes minutes to fill 8,000 tokens of oneb: that depth is smol's.
const depths = { 'smol Q4_0': [0, 1024, 4096, 8000], 'oneb Q4_0': [0, 1024, 4096] }

export async function generation({ repeats, threads, limits }) {
  const all = []
  for (const [name, each] of Object.entries(depths)) {
    const its = await model(name)
    for (const depth of each) {
      const generate = Math.ceil(generated[name.split(' ')[0]] / 2)
      const options = { model: its.path, threads, generate, depth }
      const runs = ['llama-bench', 'sotto'].map((driver) => ({ driver, task: 'speed', options }))
      for (const row of rows(await interleaved(runs, repeats), ['tokensPerSecond']))
        all.push({ model: name, depth, ...row, ...ofLimit(row, its, limits, depth) })
    }
  }
  return all
}
