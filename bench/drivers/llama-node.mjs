// llama-node.mjs: @fugood/llama.node, with its own clocks. It takes prompts as text.

import { memory } from './prompts.mjs'

async function open({ model, threads, contextSize }) {
  const { loadModel } = await import('@fugood/llama.node')
  return loadModel({
    model,
    n_ctx: contextSize,
    n_threads: threads,
    n_gpu_layers: 0,
    use_mmap: true,
  })
}

async function speed({ model, threads, prompt = 0, generate = 0, depth = 0, cacheType }) {
  if (depth || cacheType) return { skipped: 'depths and cache types are measured with llama-bench' }
  const contextSize = Math.max(512, prompt + 64, generate + 64)
  const context = await open({ model, threads, contextSize })
  const answer = (text, most) =>
    context.completion(
      { prompt: text, n_predict: most, temperature: 0, ignore_eos: true },
      () => {},
    )
  await answer('Once upon a time', 8)
  const outcome = {}
  if (prompt) {
    // A digit is a token in every vocabulary here.
    const text = Array.from({ length: prompt }, (_, i) => (i * 7) % 10).join('')
    outcome.promptPerSecond = (await answer(text, 1)).timings.prompt_per_second
  }
  if (generate)
    outcome.tokensPerSecond = (await answer('1234', generate)).timings.predicted_per_second
  return outcome
}

async function load({ model, threads, contextSize }) {
  const start = performance.now()
  const context = await open({ model, threads, contextSize })
  const loadMs = performance.now() - start
  await context.completion({ prompt: '1234', n_predict: 1, temperature: 0 }, () => {})
  const end = performance.now()
  return { openMs: end - start, loadMs, processMs: end, ...(await memory()) }
}

export const tasks = { speed, load }
