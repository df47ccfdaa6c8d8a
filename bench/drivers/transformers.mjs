// transformers.mjs: @huggingface/transformers over onnxruntime-node. No package of the registries carries a text generator in ONNX;
// an embedding model is to be had (minilm.mjs), so this driver embeds and says so of the rest.

import { sentences } from './prompts.mjs'

const only = async () => ({
  skipped: 'no ONNX text-generation model is to be had from the registries',
})

async function embed({ onnx, threads, texts: count }) {
  const { env, pipeline } = await import('@huggingface/transformers')
  env.allowRemoteModels = false
  env.localModelPath = onnx.folder
  const extract = await pipeline('feature-extraction', onnx.name, {
    dtype: 'fp32', // the name of the file without a suffix; its weights are int8
    session_options: { intraOpNumThreads: threads },
  })
  const vectors = (texts) => extract(texts, { pooling: 'mean', normalize: true })
  const texts = sentences(count)
  await vectors(texts.slice(0, 4))
  const start = performance.now()
  for (let i = 0; i < count; i += 16) await vectors(texts.slice(i, i + 16))
  return { textsPerSecond: (count / (performance.now() - start)) * 1000 }
}

export const tasks = { embed, speed: only, load: only }
