// peer-generate.mjs <model> <tokens> <threads>: the same through node-llama-cpp's iterator of tokens, greedy.

import { getLlama, LlamaLogLevel } from 'node-llama-cpp'

const [path, count, threads] = process.argv.slice(2)
const tokens = Number(count)
const llama = await getLlama({ gpu: false, logLevel: LlamaLogLevel.error, progressLogs: false })
const model = await llama.loadModel({ modelPath: path })
const context = await model.createContext({
  contextSize: Math.max(512, tokens + 64),
  threads: Number(threads),
})
const sequence = context.getSequence()
async function generate(prompt, most) {
  let first = 0
  let seen = 0
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    first ||= performance.now()
    if (++seen === most) break
  }
  return ((seen - 1) / (performance.now() - first)) * 1000
}
await generate([1, 2, 3], 8)
await sequence.clearHistory()
console.log(JSON.stringify({ tokensPerSecond: await generate([1, 2, 3, 4], tokens) }))
process.exit(0)
