// sotto-speculation.mjs <model> <threads> [rounds] [draft]: what speculation gains where an answer repeats its prompt, and costs
// where it does not. Greedy; with and without it in turn, each prompt once a round; the ratio is of the medians of tokens a second.

import { loadModel } from '../../dist/index.js'

const [path, threads, rounds = '5', draft] = process.argv.slice(2)
const model = await loadModel(path, { threads: Number(threads), contextSize: 2048, draft })

const text = `The harbour of Ostend lies between two long wooden piers. Every morning at half past five the fishing boats return, \
and the women of the market wait on the quay with baskets and scales. In 1887 a lighthouse of grey stone was built on the \
eastern pier; its keeper, Pieter Vandamme, wrote down the name of every ship that passed for thirty-one years.`
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

async function answer(prompt, speculation) {
  const { text, timings, usage } = await model
    .chat({ temperature: 0, maxTokens: 200, reusePrefix: false, speculation })
    .send(prompt).result
  return { text, usage, tokensPerSecond: timings.tokensPerSecond }
}
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1]

for (const speculation of [false, 'auto']) await answer(prompts.copy[0], speculation) // pages of the weights, first costs
const result = {}
for (const [kind, list] of Object.entries(prompts)) {
  const ratios = []
  for (const prompt of list) {
    const off = []
    const on = []
    let drafted = 0
    let accepted = 0
    for (let round = 0; round < Number(rounds); ++round) {
      // Who goes first changes: machines get slower and faster.
      const first = round % 2 === 0 ? await answer(prompt, false) : undefined
      const ahead = await answer(prompt, 'auto')
      const plain = first ?? (await answer(prompt, false))
      if (plain.text !== ahead.text) throw new Error(`another answer to: ${prompt}`)
      off.push(plain.tokensPerSecond)
      on.push(ahead.tokensPerSecond)
      drafted += ahead.usage.tokensDrafted
      accepted += ahead.usage.tokensAccepted
    }
    ratios.push({ off: median(off), on: median(on), drafted, accepted })
  }
  const mean = Math.exp(
    ratios.reduce((sum, { off, on }) => sum + Math.log(on / off), 0) / ratios.length,
  )
  result[`${kind}Ratio`] = mean
  result[`${kind}Least`] = Math.min(...ratios.map(({ off, on }) => on / off))
  result[kind] = ratios
}
console.log(JSON.stringify(result))
await model.close()
