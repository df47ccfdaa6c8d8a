// sotto.mjs: ours, through the public package only.

import { readFileSync } from 'node:fs'
import { splitModel } from '../../dist/gguf/index.js'
import { loadModel } from '../../dist/index.js'
import { median } from '../measure.mjs'
import { memory, ofSteps, promptTokens, sentences } from './prompts.mjs'
import { digest, verified } from './sotto-integrity.mjs'
import { latency } from './sotto-latency.mjs'
import { quality } from './sotto-quality.mjs'
import { restore } from './sotto-restore.mjs'
import { speculation } from './sotto-speculation.mjs'
import { undisturbed } from './sotto-undisturbed.mjs'

const greedy = { temperature: 0, ignoreEos: true, speculation: false }

const open = ({ model, threads, contextSize, cacheType, ...others }) =>
  loadModel(model, { threads, contextSize, cacheType, ...others })

/** Prompt and generation, each at a depth, through for await. */
async function speed({ model: path, threads, prompt = 0, generate = 0, depth = 0, cacheType }) {
  const contextSize = Math.max(512, depth + Math.max(prompt, generate) + 64)
  const model = await open({ model: path, threads, contextSize, cacheType, prefixCache: depth > 0 })
  await model.complete(promptTokens(32, 9), { ...greedy, maxTokens: 8 }).result // pages of the weights, first graphs
  const before = promptTokens(depth)
  if (depth) await model.complete(before, { ...greedy, maxTokens: 1 }).result
  const outcome = {}
  if (prompt) {
    const tokens = [...before, ...promptTokens(prompt, 2)]
    const { timings } = await model.complete(tokens, { ...greedy, maxTokens: 1 }).result
    outcome.promptPerSecond =
      ((timings.tokensPrompt - timings.tokensReused) / timings.promptMs) * 1000
  }
  if (generate) {
    const stream = model.complete([...before, 1, 2, 3], { ...greedy, maxTokens: generate })
    let first = 0
    for await (const _ of stream) first ||= performance.now()
    const seconds = (performance.now() - first) / 1000
    const { usage } = await stream.result
    outcome.tokensPerSecond = (usage.tokensGenerated - 1) / seconds
  }
  return outcome
}

/** Steps of each of `counts` sequences, in one process. */
async function steps({ model: path, threads, counts, prompt, generate }) {
  const most = Math.max(...counts)
  const contextSize = most * (prompt + generate + 64)
  const model = await open({ model: path, threads, contextSize, maxSequences: most })
  const options = { ...greedy, maxTokens: generate, reusePrefix: false }
  await model.complete(promptTokens(32, 99), { ...greedy, maxTokens: 4 }).result
  const all = []
  for (const count of counts) {
    const answers = Array.from(
      { length: count },
      (_, i) => model.complete(promptTokens(prompt, i + 1), options).result,
    )
    const stepMs = median(
      (await Promise.all(answers)).map(({ timings }) => 1000 / timings.tokensPerSecond),
    )
    all.push({ stepMs, tokensPerSecond: (count * 1000) / stepMs })
  }
  return all
}

const { batch, widths } = ofSteps(steps)

/** So many readers at once, from their call to the last token of the last one. */
async function streams({ model: path, threads, streams: count, prompt, generate }) {
  const contextSize = count * (prompt + generate + 64)
  const model = await open({ model: path, threads, contextSize, maxSequences: count })
  await model.complete(promptTokens(32, 99), { ...greedy, maxTokens: 4 }).result
  const read = async (seed) => {
    const stream = model.complete(promptTokens(prompt, seed), { ...greedy, maxTokens: generate })
    for await (const _ of stream);
    return (await stream.result).usage.tokensGenerated
  }
  const start = performance.now()
  const counts = await Promise.all(Array.from({ length: count }, (_, i) => read(i + 1)))
  const total = counts.reduce((sum, tokens) => sum + tokens, 0)
  return { tokensPerSecond: (total / (performance.now() - start)) * 1000 }
}

/** From the call, and from the start of the process, to the first token of a short prompt. */
async function load({ model: path, threads, contextSize }) {
  const start = performance.now()
  const model = await open({ model: path, threads, contextSize })
  const loadMs = performance.now() - start
  await model.complete(promptTokens(4), { ...greedy, maxTokens: 1 }).result
  const end = performance.now()
  return { openMs: end - start, loadMs, processMs: end, ...(await memory()) }
}

/** Load, first token and generation of a model that may be large, and the memory before and after it has been read. */
async function generation({ generate, ...options }) {
  const start = performance.now()
  const model = await open(options)
  const loadMs = performance.now() - start
  const { rssMb: loadedRssMb } = await memory()
  const stream = model.complete(promptTokens(4), { ...greedy, maxTokens: generate })
  const { timings } = await stream.result
  const { firstTokenMs, tokensPerSecond } = timings
  return { loadMs, firstTokenMs, tokensPerSecond, loadedRssMb, ...(await memory()) }
}

async function split({ model: path, folder }) {
  const start = performance.now()
  const { bytes } = await splitModel(path, { folder })
  const seconds = (performance.now() - start) / 1000
  const peak = /^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return { seconds, mbPerSecond: bytes / 1e6 / seconds, peakRssMb: Number(peak[1]) / 1024 }
}

/** The first token of a long prompt, and of another that begins alike. */
async function prefix({ model: path, threads, shared, own }) {
  const model = await open({ model: path, threads, contextSize: 4 * (shared + own) })
  await model.complete(promptTokens(64, 9), { ...greedy, maxTokens: 4 }).result
  const ask = async (seed) => {
    const tokens = [...promptTokens(shared, 2), ...promptTokens(own, seed)]
    const start = performance.now()
    await model.complete(tokens, { ...greedy, maxTokens: 1 }).result
    return performance.now() - start
  }
  const firstTokenMs = await ask(3)
  return { firstTokenMs, sharedFirstTokenMs: await ask(4) }
}

/** The first token of chats in turn: without a system prompt, with one that is pinned, and once with one that is not. */
async function pinned({ model: path, threads, prefix, asks }) {
  const model = await open({ model: path, threads, contextSize: 4 * prefix })
  const said = 'Is there room for one more boat tonight?'
  const [sentence] = sentences(1)
  const system = sentences(Math.round(prefix / (await model.countTokens(sentence)))).join(' ')
  const handle = await model.pin({ system })
  let asked = 0
  const ask = async (options) => {
    const principal = `${asked++}` // nobody finds what another has asked
    const chat = model.chat({ ...greedy, ...options, principal, maxTokens: 1 })
    const { timings } = await chat.send(said).result
    return timings
  }
  const none = []
  const kept = []
  await ask({})
  for (let i = 0; i < asks; i++) {
    none.push((await ask({})).firstTokenMs)
    kept.push((await ask({ system })).firstTokenMs)
  }
  const { firstTokenMs, tokensPrompt } = await ask({ system, reusePrefix: false })
  return {
    tokensPinned: handle.tokens,
    tokensBehind: tokensPrompt - handle.tokens,
    noneMs: median(none),
    pinnedMs: median(kept),
    pinnedOfNone: median(kept) / median(none),
    computedMs: firstTokenMs,
  }
}

async function embed({ model: path, threads, texts: count }) {
  const model = await open({ model: path, threads, contextSize: 4096, batchSize: 4096 })
  const texts = sentences(count)
  await model.embed(texts.slice(0, 4))
  const start = performance.now()
  const vectors = await model.embed(texts)
  const seconds = (performance.now() - start) / 1000
  return { textsPerSecond: vectors.length / seconds }
}

// An older package does not know the option that switches speculation off, and has nothing to switch off.
const { SottoError } = await import('../../dist/index.js')
async function withoutSpeculation(task, options) {
  try {
    return await task(options)
  } catch (error) {
    if (!(error instanceof SottoError) || error.code !== 'ERR_OPTION_UNKNOWN') throw error
    delete greedy.speculation
    return task(options)
  }
}

const speeds = { speed, batch, widths, streams, load, generation, prefix, pinned, embed }
export const tasks = {
  ...Object.fromEntries(
    Object.entries(speeds).map(([name, task]) => [
      name,
      (options) => withoutSpeculation(task, options),
    ]),
  ),
  ...quality,
  split,
  digest,
  verified,
  restore,
  latency,
  undisturbed,
  speculation,
}
