// sotto-prompt.mjs <model> <tokens> <threads>: prompt tokens a second, from admission to the first logits.

import { loadModel } from '../../dist/index.js'

const [path, count, threads] = process.argv.slice(2)
const tokens = Number(count)
const model = await loadModel(path, {
  threads: Number(threads),
  contextSize: tokens + 64,
  prefixCache: false,
})
const prompt = Array.from({ length: tokens }, (_, i) => 300 + ((i * 7919) % 20000))
const once = { maxTokens: 1, temperature: 0, ignoreEos: true }
await model.complete(prompt.slice(0, 32), once).result // pages of the weights, first graphs
const { timings } = await model.complete(prompt, once).result
console.log(JSON.stringify({ tokensPerSecond: (tokens / timings.promptMs) * 1000 }))
await model.close()
