// sotto-memory.mjs: what a model takes when it has computed full steps and every place for an answer, and what was estimated before.

import { readFileSync } from 'node:fs'
import { estimateModel, loadModel } from '../../dist/index.js'
import { promptTokens } from './prompts.mjs'

function resident() {
  // V8 gives a heap that has grown back in steps.
  for (let i = 0; i < 4; i++) globalThis.gc()
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
}

export async function memory({ model: path, warmer, threads, load }) {
  // What the process keeps whatever it loads: threads, upstream's code.
  const other = await loadModel(warmer, { contextSize: 256 })
  await other.complete('x', { maxTokens: 1 }).result
  await other.close()

  // Reading a vocabulary makes V8's heap grow: not the model's memory, and there before it.
  for (let i = 0; i < 3; i++) await estimateModel(path, load)
  const { weights, kv, compute, total } = await estimateModel(path, load)
  const before = resident()
  const model = await loadModel(path, { threads, ...load })
  const { contextSize, sequences, vocabulary } = model.info
  const prompt = (length, seed) => promptTokens(length, seed).map((token) => token % vocabulary)
  const answer = { maxTokens: 4, temperature: 0, ignoreEos: true }
  await model.complete(prompt(contextSize - 8, 1), answer).result
  const many = Array.from({ length: sequences }, (_, i) => prompt(8, 10 + i))
  await Promise.all(many.map((tokens) => model.complete(tokens, answer).result))
  const used = resident() - before
  const mb = (bytes) => bytes / 2 ** 20
  return {
    usedMb: mb(used),
    estimatedMb: mb(total),
    estimatedOfUsed: total / used,
    weightsMb: mb(weights),
    kvMb: mb(kv),
    computeMb: mb(compute),
  }
}

export const tasks = { memory }
