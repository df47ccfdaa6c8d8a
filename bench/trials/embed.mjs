// embed.mjs: texts embedded a second, by the same model in each engine's format.

import { interleaved, rows } from '../measure.mjs'
import { embeddingModel } from '../minilm.mjs'

export async function embed({ repeats, threads }) {
  const { gguf, onnx } = await embeddingModel()
  const options = { model: gguf, onnx, threads, texts: 256 }
  const runs = ['llama-server', 'sotto', 'node-llama-cpp', 'transformers'].map((driver) => {
    return { driver, task: 'embed', options }
  })
  const samples = await interleaved(runs, repeats)
  return rows(samples, ['textsPerSecond'], () => 'llama-server').map((row) => {
    const format = row.driver === 'transformers' ? 'int8 ONNX' : 'Q8_0'
    return { model: 'all-MiniLM-L6-v2', format, ...row }
  })
}
