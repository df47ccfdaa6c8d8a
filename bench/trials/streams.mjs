// streams.mjs: eight readers at once: ours in the process, llama-server's over HTTP.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function streams({ quick, repeats, threads }) {
  const all = []
  for (const name of quick ? ['oneb Q4_0'] : ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    const options = { model: path, threads, streams: 8, prompt: 32, generate: 96 }
    const runs = ['llama-server', 'sotto'].map((driver) => ({ driver, task: 'streams', options }))
    const samples = await interleaved(runs, repeats)
    for (const row of rows(samples, ['tokensPerSecond'], () => 'llama-server'))
      all.push({ model: name, streams: 8, ...row })
  }
  return all
}
