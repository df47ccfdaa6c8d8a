// sotto-generate.mjs <model> <tokens> <threads> [blocked]: generation through for await. The window opens at the first token.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { loadModel } from '../../dist/index.js'

const [path, count, threads, blocked] = process.argv.slice(2)
const tokens = Number(count)
const model = await loadModel(path, {
  threads: Number(threads),
  contextSize: Math.max(512, tokens + 64),
  prefixCache: false,
})
await model.complete([1, 2, 3], { maxTokens: 8, temperature: 0, ignoreEos: true }).result // pages of the weights, first graphs

let stop = false
if (blocked) {
  const block = () => {
    const until = performance.now() + 50
    while (performance.now() < until);
    if (!stop) setTimeout(block, 50)
  }
  block()
}
const delay = monitorEventLoopDelay({ resolution: 1 })
const heap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
const stream = model.complete([1, 2, 3, 4], { maxTokens: tokens, temperature: 0, ignoreEos: true })
let first = 0
let pieces = 0
let middle = 0
const before = heap()
delay.enable()
for await (const _ of stream) {
  first ||= performance.now()
  if (++pieces === Math.floor(tokens / 2)) middle = performance.now()
}
const end = performance.now()
delay.disable()
stop = true
const { usage, timings } = await stream.result
console.log(
  JSON.stringify({
    // Native and JavaScript clocks agree when nothing is blocked; blocked, only the native one sees every token.
    tokensPerSecond: blocked
      ? timings.tokensPerSecond
      : (usage.tokensGenerated - 1) / ((end - first) / 1000),
    nativeTokensPerSecond: timings.tokensPerSecond,
    firstHalfMs: middle - first,
    secondHalfMs: end - middle,
    delayP99Ms: delay.percentile(99) / 1e6,
    heapGrowthBytes: heap() - before,
  }),
)
await model.close()
