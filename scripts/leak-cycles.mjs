// leak-cycles.mjs: the program that leaks.mjs watches. `cycle <model> <embedder>`: load, generate, constrain, abort, embed, fail,
// close, compute graphs, a few times. `slope <model>`: memory over many load/close cycles.

import { Context } from '../dist/ggml/index.js'
import { loadModel, pullModel } from '../dist/index.js'

const [mode, path, embedder] = process.argv.slice(2)

async function cycle() {
  const model = await loadModel(path, { contextSize: 512, onProgress: () => {} })
  await Promise.all([
    model.complete('Once', { maxTokens: 6, ignoreEos: true, stop: ['§'] }).result,
    model.complete('The sky', { maxTokens: 6, grammar: 'root ::= "yes" | "no"', logprobs: 2 })
      .result,
    model.chat({ system: 'x' }).send('Hi', { maxTokens: 4 }).result,
    model.tokenize('some text'),
    model.complete('x', { grammar: 'root ::= (' }).result.catch(() => {}),
    model.complete('word '.repeat(900)).result.catch(() => {}),
  ])
  const stream = model.complete('Once', { ignoreEos: true })
  for await (const _ of stream) stream.abort()
  const left = model.complete('Once', { ignoreEos: true }).result.catch(() => {})
  await model.close()
  await left
  const vectors = await loadModel(embedder)
  await vectors.embed(['one', 'two'])
  await vectors.close()
  await loadModel('/dev/null').catch(() => {})
}

async function tensors() {
  const context = new Context({ memSize: 2 ** 22 })
  const weights = context.tensor('F32', [32, 8], new Float32Array(256).fill(0.1)).setParam()
  const input = context.tensor('F32', [32, 4], new Float32Array(128).fill(1))
  const loss = context.sum(context.sqr(context.mulMat(weights, input))).setLoss()
  const graph = context.graph(loss).backward()
  graph.expand(context.optStepSgd(weights, graph.gradient(weights), context.tensor('F32', [2])))
  for (let i = 0; i < 3; i++) await graph.compute({ threads: 2 })
  const row = context.getRows(weights, context.tensor('I32', [1], [99]))
  await context
    .graph(row)
    .compute()
    .catch(() => {})
  for (const wrong of [
    () => context.mulMat(weights, row),
    () => context.tensor('F32', [2 ** 21]),
  ]) {
    try {
      wrong()
    } catch {}
  }
  context.tensor('Q4_K', [256], new Float32Array(256)).get()
  const left = graph.compute().catch(() => {})
  await context.close()
  await left
}

// Growth a cycle from the middle third to the last: the first fills caches that stay. Of the smallest sizes, because what the
// garbage collector has not got to yet only ever adds.
function slopeKilobytes(samples) {
  const third = Math.floor(samples.length / 3)
  const least = (from) => Math.min(...samples.slice(from, from + third))
  return (least(2 * third) - least(third)) / third / 1024
}

async function slope(file, count, most) {
  const samples = []
  for (let i = 0; i < count; i++) {
    const model = await loadModel(file, { contextSize: 512 })
    await model.complete('Once', { maxTokens: 2, ignoreEos: true }).result
    await model.close()
    globalThis.gc()
    samples.push(process.memoryUsage().rss)
  }
  const kilobytes = slopeKilobytes(samples)
  console.log(
    `${count} cycles: ${kilobytes.toFixed(1)} KB a cycle, ${(samples.at(-1) / 2 ** 20).toFixed(0)} MB at the end`,
  )
  if (kilobytes > most) process.exitCode = 1
}

if (mode === 'slope') {
  await slope(path, 300, 16)
  // A few megabytes are V8's heap, which grows in steps; a lost context or vocabulary would be tens of them, every time.
  await slope((await pullModel('smollm2-135m-instruct')).path, 45, 512)
} else {
  for (let i = 0; i < Number(process.env.SOTTO_CYCLES ?? 4); i++) {
    await cycle()
    await tensors()
  }
}
