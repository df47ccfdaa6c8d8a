// widths.mjs: a step of 1 … 16 sequences with every type of weights. The slowest beside upstream's comes first: nothing is to be slower.

import { interleaved, round, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { types } from './speed.mjs'

const counts = [1, 2, 3, 4, 8, 16]
const peer = 'llama-batched-bench'
// The CPU's own instructions, and the least that most CPUs have.
const isas = process.arch === 'x64' ? ['native', 'avx2'] : ['native']

async function stepsOf(path, isa, { repeats, threads }) {
  const options = { model: path, threads, counts, prompt: 16, generate: 16 }
  const [upstream, environment] = isa === 'native' ? [{}, {}] : [{ isa }, { SOTTO_CPU: isa }]
  const runs = [
    { driver: peer, task: 'widths', options: { ...options, ...upstream } },
    { driver: 'sotto', task: 'widths', options, environment },
  ]
  const metrics = counts.map((count) => `stepMs${count}`)
  return rows(await interleaved(runs, repeats), metrics, () => peer)
}

export async function widths({ repeats, threads }) {
  const all = []
  for (const type of types) {
    // Of the shapes it is the one whose rows hold whole K-quant blocks: elsewhere those types are others in disguise.
    const { name, path } = await model(`oneb ${type}`)
    for (const isa of isas) {
      const [theirs, ours] = await stepsOf(path, isa, { repeats, threads })
      if (!ours) continue // one of them failed and said so
      for (const sequences of counts) {
        const step = `stepMs${sequences}`
        all.push({
          model: name,
          isa,
          sequences,
          upstreamMs: theirs[step],
          sottoMs: ours[step],
          sottoMsLeast: ours[`${step}Least`],
          sottoMsMost: ours[`${step}Most`],
          timesFaster: round(1 / ours[`${step}OfPeer`]),
        })
      }
    }
  }
  return all.sort((a, b) => a.timesFaster - b.timesFaster)
}
