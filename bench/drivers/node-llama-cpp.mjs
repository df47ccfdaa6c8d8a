// node-llama-cpp.mjs: the npm package, through its iterator of tokens.

import { memory, promptTokens, sentences } from './prompts.mjs'

async function open(model) {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  const llama = await getLlama({ gpu: false, logLevel: LlamaLogLevel.error, progressLogs: false })
  return llama.loadModel({ modelPath: model })
}

async function evaluate(sequence, prompt, most) {
  let first = 0
  let seen = 0
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    first ||= performance.now()
    if (++seen === most) break
  }
  return { first, tokensPerSecond: ((seen - 1) / (performance.now() - first)) * 1000 }
}

async function speed({ model: path, threads, prompt = 0, generate = 0, depth = 0, cacheType }) {
  if (depth || cacheType) return { skipped: 'depths and cache types are measured with llama-bench' }
  const model = await open(path)
  const contextSize = Math.max(512, prompt + 64, generate + 64)
  const context = await model.createContext({ contextSize, threads })
  const sequence = context.getSequence()
  await evaluate(sequence, promptTokens(32, 9), 8)
  const outcome = {}
  if (prompt) {
    await sequence.clearHistory()
    const start = performance.now()
    const { first } = await evaluate(sequence, promptTokens(prompt, 2), 1)
    outcome.promptPerSecond = (prompt / (first - start)) * 1000
  }
  if (generate) {
    await sequence.clearHistory()
    outcome.tokensPerSecond = (await evaluate(sequence, [1, 2, 3, 4], generate)).tokensPerSecond
  }
  return outcome
}

async function load({ model: path, threads, contextSize }) {
  const start = performance.now()
  const model = await open(path)
  const context = await model.createContext({ contextSize, threads })
  const loadMs = performance.now() - start
  await evaluate(context.getSequence(), promptTokens(4), 1)
  const end = performance.now()
  return { openMs: end - start, loadMs, processMs: end, ...(await memory()) }
}

async function embed({ model: path, threads, texts: count }) {
  const model = await open(path)
  const context = await model.createEmbeddingContext({ threads })
  const texts = sentences(count)
  await context.getEmbeddingFor(texts[0])
  const start = performance.now()
  await Promise.all(texts.map((text) => context.getEmbeddingFor(text)))
  return { textsPerSecond: (count / (performance.now() - start)) * 1000 }
}

export const tasks = { speed, load, embed }
