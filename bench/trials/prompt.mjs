// prompt.mjs: prompts of every length.

import { ofLimit } from '../limits.mjs'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function prompt({ repeats, threads, limits }) {
  const all = []
  for (const name of ['smol Q4_0', 'oneb Q4_0', 'oneb Q4_K_M']) {
    const its = await model(name)
    for (const length of [32, 128, 512, 2048]) {
      const options = { model: its.path, threads, prompt: length }
      const runs = ['llama-bench', 'sotto', 'node-llama-cpp'].map((driver) => {
        return { driver, task: 'speed', options }
      })
      for (const row of rows(await interleaved(runs, repeats), ['promptPerSecond']))
        all.push({ model: name, length, ...row, ...ofLimit(row, its, limits) })
    }
  }
  return all
}
