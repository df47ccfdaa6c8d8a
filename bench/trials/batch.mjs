// batch.mjs: what a step of several sequences costs.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function batch({ quick, repeats, threads }) {
  const all = []
  for (const name of quick ? ['oneb Q4_0'] : ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    const alone = new Map()
    for (const sequences of quick ? [1, 8] : [1, 2, 3, 4, 8, 16]) {
      const options = { model: path, threads, sequences, prompt: 16, generate: 48 }
      const runs = ['llama-batched-bench', 'sotto'].map((driver) => {
        return { driver, task: 'batch', options }
      })
      const samples = await interleaved(runs, repeats)
      for (const row of rows(samples, ['stepMs'], () => 'llama-batched-bench')) {
        if (sequences === 1) alone.set(row.driver, row.stepMs)
        const ofOne = Number((row.stepMs / alone.get(row.driver)).toFixed(2))
        all.push({ model: name, sequences, ...row, ofOne })
      }
    }
  }
  return all
}
