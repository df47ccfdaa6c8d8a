// cache.mjs: a prompt and an answer behind 4,096 tokens, by the type of the KV cache.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

// Each costs llama-bench minutes where the model is large: there, the type of the goal.
const cacheTypes = { 'smol Q4_0': ['f16', 'q8_0', 'q4_0'], 'oneb Q4_0': ['q8_0'] }

export async function cache({ quick, repeats, threads }) {
  const all = []
  for (const name of quick ? ['smol Q4_0'] : ['smol Q4_0', 'oneb Q4_0']) {
    for (const cacheType of quick ? ['q8_0'] : cacheTypes[name]) {
      const { path } = await model(name)
      const options = { model: path, threads, prompt: 256, generate: 32, depth: 4096, cacheType }
      const runs = ['llama-bench', 'sotto'].map((driver) => ({ driver, task: 'speed', options }))
      const samples = await interleaved(runs, repeats)
      for (const row of rows(samples, ['promptPerSecond', 'tokensPerSecond']))
        all.push({ model: name, depth: 4096, cacheType, ...row })
    }
  }
  return all
}
