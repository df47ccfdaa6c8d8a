// sotto-speculation.mjs: what speculation gains where an answer repeats its prompt, and costs where it does not. Greedy, with and
// without it in turn; an answer must be the same.

import { loadModel, SottoError } from '../../dist/index.js'
import { median } from '../measure.mjs'

const text =
  'The harbour of Ostend lies between two long wooden piers. Every morning at half past five the fishing boats return, and the ' +
  'women of the market wait on the quay with baskets and scales. In 1887 a lighthouse of grey stone was built on the eastern ' +
  'pier; its keeper, Pieter Vandamme, wrote down the name of every ship that passed for thirty-one years.'
const records = JSON.stringify(
  ['Anna', 'Bruno', 'Clara', 'David', 'Elena', 'Farid'].map((name, i) => ({
    id: 1000 + i,
    name,
    email: `${name.toLowerCase()}@example.org`,
    active: i % 2 === 0,
    tags: ['customer', 'newsletter'],
  })),
  null,
  1,
)
const prompts = {
  copy: [
    `Repeat this text word for word:\n\n${text}`,
    `Print this JSON again, without changes:\n\n${records}`,
    `Correct the spelling of this text and change nothing else:\n\n${text.replace('piers', 'peirs')}`,
  ],
  chat: [
    'Why is the sky blue?',
    'Give me a recipe for a simple vegetable soup.',
    'Write a short story about a lighthouse keeper and a storm.',
    'What should I think about before I buy a bicycle?',
  ],
}

export async function speculation({ model: path, threads, kind, rounds }) {
  const model = await loadModel(path, { threads, contextSize: 2048 })
  const answer = async (prompt, allowed) => {
    const options = { temperature: 0, maxTokens: 200, reusePrefix: false, speculation: allowed }
    const { text, timings } = await model.chat(options).send(prompt).result
    return { text, rate: timings.tokensPerSecond }
  }
  try {
    for (const allowed of [false, 'auto']) await answer(prompts.copy[0], allowed) // pages of the weights, first costs
  } catch (error) {
    if (error instanceof SottoError && error.code === 'ERR_OPTION_UNKNOWN')
      return { skipped: 'this build of the package does not speculate' }
    throw error
  }
  const gains = []
  for (const prompt of prompts[kind]) {
    const rates = { off: [], on: [] }
    for (let round = 0; round < rounds; round++) {
      // Who goes first changes: machines get slower and faster.
      const order = round % 2 ? [false, 'auto'] : ['auto', false]
      const answers = []
      for (const allowed of order) {
        const { text, rate } = await answer(prompt, allowed)
        rates[allowed ? 'on' : 'off'].push(rate)
        answers.push(text)
      }
      if (answers[0] !== answers[1]) throw new Error(`Speculation changed the answer to: ${prompt}`)
    }
    gains.push({ off: median(rates.off), on: median(rates.on) })
  }
  const ratios = gains.map(({ off, on }) => on / off)
  return {
    off: median(gains.map(({ off }) => off)),
    on: median(gains.map(({ on }) => on)),
    gain: Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length),
    leastGain: Math.min(...ratios),
  }
}
