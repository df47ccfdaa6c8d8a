// sotto-generate.mjs <model> <tokens> <threads> [waiting|computing]: generation through for await, the JS thread blocked 50 ms of
// every 100 when asked to. The window opens at the first token.

import { loadModel } from '../../dist/index.js'

const [path, count, threads, blocked] = process.argv.slice(2)
const tokens = Number(count)
const model = await loadModel(path, {
  threads: Number(threads),
  contextSize: Math.max(512, tokens + 64),
  prefixCache: false,
})
await model.complete([1, 2, 3], { maxTokens: 8, temperature: 0, ignoreEos: true }).result // pages of the weights, first graphs

// A blocked event loop: in a synchronous wait, as file and child process calls do it, or computing, which takes a core as well.
let stop = false
const sleeper = new Int32Array(new SharedArrayBuffer(4))
function block() {
  const until = performance.now() + 50
  if (blocked === 'waiting') Atomics.wait(sleeper, 0, 0, 50)
  else while (performance.now() < until);
  if (!stop) setTimeout(block, 50)
}
if (blocked) block()

const heap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
const stream = model.complete([1, 2, 3, 4], { maxTokens: tokens, temperature: 0, ignoreEos: true })
let first = 0
let pieces = 0
let half = 0
const before = heap()
const begin = performance.eventLoopUtilization()
for await (const _ of stream) {
  first ||= performance.now()
  if (++pieces === Math.floor(tokens / 2)) half = performance.eventLoopUtilization(begin).active
}
const active = performance.eventLoopUtilization(begin).active
const end = performance.now()
stop = true
const { usage, timings } = await stream.result
console.log(
  JSON.stringify({
    // Native and JavaScript clocks agree when nothing is blocked; blocked, only the native one sees every token.
    tokensPerSecond: blocked
      ? timings.tokensPerSecond
      : (usage.tokensGenerated - 1) / ((end - first) / 1000),
    nativeTokensPerSecond: timings.tokensPerSecond,
    // Of the JS thread, a token, in each half of the answer.
    firstHalfUs: (half / Math.floor(tokens / 2)) * 1000,
    secondHalfUs: ((active - half) / Math.ceil(tokens / 2)) * 1000,
    heapGrowthBytes: heap() - before,
  }),
)
await model.close()
