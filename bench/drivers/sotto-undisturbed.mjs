// sotto-undisturbed.mjs: what streaming costs the JS thread, and what a blocked JS thread costs an answer.

import { loadModel } from '../../dist/index.js'

// A blocked event loop: 50 ms of every 100 in a synchronous wait, as file and child process calls do it, or computing, which takes
// a core as well.
function blockEventLoop(how) {
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  let stopped = false
  const block = () => {
    const until = performance.now() + 50
    if (how === 'waiting') Atomics.wait(sleeper, 0, 0, 50)
    else while (performance.now() < until);
    if (!stopped) setTimeout(block, 50)
  }
  block()
  return () => {
    stopped = true
  }
}

const heap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

export async function undisturbed({ model: path, threads, generate, blocked }) {
  const contextSize = Math.max(512, generate + 64)
  const model = await loadModel(path, { threads, contextSize, prefixCache: false })
  // A random model repeats itself: with speculation the figures would be of that.
  const greedy = { temperature: 0, ignoreEos: true, speculation: false }
  await model.complete([1, 2, 3], { ...greedy, maxTokens: 8 }).result // pages of the weights, first graphs
  const unblock = blocked ? blockEventLoop(blocked) : () => {}
  const stream = model.complete([1, 2, 3, 4], { ...greedy, maxTokens: generate })
  let first = 0
  const actives = []
  const before = heap()
  const begin = performance.eventLoopUtilization()
  for await (const _ of stream) {
    first ||= performance.now()
    actives.push(performance.eventLoopUtilization(begin).active)
  }
  const { active } = performance.eventLoopUtilization(begin)
  const end = performance.now()
  unblock()
  const { usage, timings } = await stream.result
  if (blocked) return { tokensPerSecond: timings.tokensPerSecond } // only the native clock sees every token
  // A token that ends within a character is shown with the next one: pieces are halved, tokens counted.
  const half = actives[Math.floor(actives.length / 2)]
  const perToken = (activeMs) => (activeMs / (usage.tokensGenerated / 2)) * 1000
  return {
    tokensPerSecond: (usage.tokensGenerated - 1) / ((end - first) / 1000),
    firstHalfUs: perToken(half),
    secondHalfUs: perToken(active - half),
    heapGrowthKb: (heap() - before) / 1024,
  }
}
