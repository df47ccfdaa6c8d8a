// sotto-memory.mjs: what a model takes when it has computed full steps and every place for an answer, and what was estimated before.

import { readFileSync } from 'node:fs'
import { estimateModel, loadModel } from '../../dist/index.js'
import { promptTokens } from './prompts.mjs'

/** All, and the part that lies in mapped files. */
function resident() {
  // V8 gives a heap that has grown back in steps.
  for (let i = 0; i < 4; i++) globalThis.gc()
  const status = readFileSync('/proc/self/status', 'utf8')
  const bytes = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) * 1024
  return { all: bytes('VmRSS'), mapped: bytes('RssFile') }
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
  const after = resident()
  const used = after.all - before.all
  const mb = (bytes) => bytes / 2 ** 20
  return {
    usedMb: mb(used),
    mappedMb: mb(after.mapped - before.mapped),
    estimatedMb: mb(total),
    estimatedOfUsed: total / used,
    weightsMb: mb(weights),
    kvMb: mb(kv),
    computeMb: mb(compute),
  }
}

export const tasks = { memory }
