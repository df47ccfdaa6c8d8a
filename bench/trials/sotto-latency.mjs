// sotto-latency.mjs <model> <threads>: time to first token with a shared prefix, abort during a prefill, event-loop delay.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { loadModel } from '../../dist/index.js'

const [path, threads] = process.argv.slice(2)
const model = await loadModel(path, { threads: Number(threads), contextSize: 8192 })
const vocabulary = model.info.vocabulary
const prompt = (length, seed) =>
  Array.from({ length }, (_, i) => 300 + ((i * 7919 + seed * 104729) % (vocabulary - 400)))
await model.complete(prompt(64, 1), { maxTokens: 4, temperature: 0 }).result

const shared = prompt(1000, 2)
const greedy = { maxTokens: 1, temperature: 0 }
const first = await model.complete([...shared, ...prompt(20, 3)], greedy).result
const second = await model.complete([...shared, ...prompt(20, 4)], greedy).result

const aborts = []
for (let i = 0; i < 40; i++) {
  const stream = model.complete(prompt(4000, 10 + i), { maxTokens: 1, reusePrefix: false })
  await new Promise((resolve) => setTimeout(resolve, 40 + i * 9))
  const start = performance.now()
  stream.abort()
  const { finishReason } = await stream.result
  if (finishReason === 'abort') aborts.push(performance.now() - start)
}
aborts.sort((a, b) => a - b)

async function delayP99(action) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await action()
  delay.disable()
  return delay.percentile(99) / 1e6
}
const idle = await delayP99(() => new Promise((resolve) => setTimeout(resolve, 2000)))
const busy = await delayP99(async () => {
  for await (const _ of model.complete(prompt(16, 5), {
    maxTokens: 500,
    temperature: 0,
    ignoreEos: true,
  }));
})
console.log(
  JSON.stringify({
    firstTokenMs: first.timings.firstTokenMs,
    sharedFirstTokenMs: second.timings.firstTokenMs,
    sharedOfFirst: second.timings.firstTokenMs / first.timings.firstTokenMs,
    tokensReused: second.usage.tokensReused,
    aborts: aborts.length,
    abortP50Ms: aborts[Math.floor(aborts.length * 0.5)],
    abortP99Ms: aborts[Math.min(aborts.length - 1, Math.floor(aborts.length * 0.99))],
    idleDelayP99Ms: idle,
    generatingDelayP99Ms: busy,
    delayAboveIdleMs: busy - idle,
  }),
)
await model.close()
