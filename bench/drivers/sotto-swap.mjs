// sotto-swap.mjs: answers that stream while the model behind their name is swapped again and again: which of them are lost or not what the
// model says alone, how long the longest wait between two pieces of an answer was, and what memory does.

import { once } from 'node:events'
import { loadModel, ModelManager } from '../../dist/index.js'

const prompts = ['Once upon a time', 'The sky is', 'One, two, three', 'The capital of']
const name = 'chat'

/** What each model says to each prompt, alone. */
async function references(models, load, answer) {
  const said = new Map()
  for (const path of models) {
    const model = await loadModel(path, load)
    for (const prompt of prompts)
      said.set(`${path} ${prompt}`, await model.complete(prompt, answer).text())
    await model.close()
  }
  return said
}

/** Streams that begin anew as soon as they have ended, until they are told to stop. */
class Talk {
  answers = 0
  lost = 0
  corrupt = 0
  longestWait = 0
  #stopped = false
  #streams

  constructor(manager, count, answer, said) {
    const talk = async (i) => {
      for (let turn = i; !this.#stopped; turn++)
        await this.#one(manager, prompts[turn % prompts.length], answer, said)
    }
    this.#streams = Array.from({ length: count }, (_, i) => talk(i))
  }

  async #one(manager, prompt, answer, said) {
    // In one turn of JavaScript: the answer is this model's.
    const [{ source }] = manager.list()
    const stream = manager.complete(name, prompt, answer)
    let text = ''
    let before
    try {
      for await (const part of stream) {
        const now = performance.now()
        if (before !== undefined) this.longestWait = Math.max(this.longestWait, now - before)
        before = now
        text += part.text
      }
    } catch (error) {
      console.error(error)
      this.lost++
      return
    }
    this.answers++
    if (text !== said.get(`${source} ${prompt}`)) this.corrupt++
  }

  async stop() {
    this.#stopped = true
    await Promise.all(this.#streams)
  }
}

// Growth a swap from the middle third to the last, of the smallest sizes: how many old models are still used varies.
function slopeKilobytes(samples) {
  const third = Math.floor(samples.length / 3)
  const least = (from) => Math.min(...samples.slice(from, from + third))
  return (least(2 * third) - least(third)) / third / 1024
}

/** `atOnce`: most models in memory, those included that only end what they began. */
export async function swap({ models, swaps, streams, tokens, contextSize, threads, atOnce = 4 }) {
  const load = { contextSize, maxSequences: streams, ...(threads && { threads }) }
  const answer = { maxTokens: tokens, temperature: 0, ignoreEos: true }
  const said = await references(models, load, answer)
  const manager = new ModelManager()
  await manager.load(name, models[0], load)

  const quiet = new Talk(manager, streams, answer, said)
  await new Promise((resolve) => setTimeout(resolve, 3000))
  await quiet.stop()

  let warming = 0
  const warmings = []
  manager.on('progress', ({ phase, fraction }) => {
    if (phase !== 'warming') return
    if (fraction === 0) warming = performance.now()
    else warmings.push(performance.now() - warming)
  })
  const talk = new Talk(manager, streams, answer, said)
  const begin = performance.now()
  const resident = []
  for (let i = 1; i <= swaps; i++) {
    await manager.swap(name, models[i % models.length], load)
    if (manager.list()[0].retiring > atOnce - 2) await once(manager, 'unloaded')
    globalThis.gc()
    resident.push(process.memoryUsage.rss())
  }
  const seconds = (performance.now() - begin) / 1000
  await talk.stop()
  await manager.close()
  warmings.sort((a, b) => a - b)
  return {
    swaps,
    streams,
    answers: talk.answers,
    lost: quiet.lost + talk.lost,
    corrupt: quiet.corrupt + talk.corrupt,
    secondsASwap: seconds / swaps,
    longestWaitQuietMs: quiet.longestWait,
    longestWaitMs: talk.longestWait,
    warmingMs: warmings[Math.floor(warmings.length / 2)],
    longestWarmingMs: warmings.at(-1),
    residentMb: Math.round(Math.min(...resident.slice(Math.floor(swaps / 3))) / 2 ** 20),
    growthKbASwap: slopeKilobytes(resident),
  }
}

export const tasks = { swap }
