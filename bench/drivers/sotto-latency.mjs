// sotto-latency.mjs: how soon an abort ends a prefill, and how late the event loop is while an answer streams.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { loadModel } from '../../dist/index.js'
import { promptTokens } from './prompts.mjs'

async function delayP99(action) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await action()
  delay.disable()
  return delay.percentile(99) / 1e6
}

export async function latency({ model: path, threads }) {
  const model = await loadModel(path, { threads, contextSize: 8192 })
  await model.complete(promptTokens(64, 1), { maxTokens: 4, temperature: 0 }).result

  const aborts = []
  for (let i = 0; i < 40; i++) {
    const options = { maxTokens: 1, reusePrefix: false }
    const stream = model.complete(promptTokens(4000, 10 + i), options)
    await new Promise((resolve) => setTimeout(resolve, 40 + i * 9))
    const start = performance.now()
    stream.abort()
    const { finishReason } = await stream.result
    if (finishReason === 'abort') aborts.push(performance.now() - start)
  }
  aborts.sort((a, b) => a - b)

  const idle = await delayP99(() => new Promise((resolve) => setTimeout(resolve, 2000)))
  const busy = await delayP99(async () => {
    const options = { maxTokens: 500, temperature: 0, ignoreEos: true, speculation: false }
    for await (const _ of model.complete(promptTokens(16, 5), options));
  })
  return {
    aborts: aborts.length,
    abortP50Ms: aborts[Math.floor(aborts.length * 0.5)],
    abortP99Ms: aborts[Math.min(aborts.length - 1, Math.floor(aborts.length * 0.99))],
    idleDelayP99Ms: idle,
    generatingDelayP99Ms: busy,
    delayAboveIdleMs: busy - idle,
  }
}
