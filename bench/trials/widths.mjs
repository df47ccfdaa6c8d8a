// widths.mjs: a step of 1 … 16 sequences with every type of weights. The slowest beside upstream's comes first: nothing is to be slower.

import { interleaved, round, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { types } from './speed.mjs'

const counts = [1, 2, 3, 4, 8, 16]
const peer = 'llama-batched-bench'

export async function widths({ repeats, threads }) {
  const all = []
  for (const type of types) {
    // Of the shapes it is the one whose rows hold whole K-quant blocks: elsewhere those types are others in disguise.
    const { name, path } = await model(`oneb ${type}`)
    const options = { model: path, threads, counts, prompt: 16, generate: 16 }
    const runs = [peer, 'sotto'].map((driver) => ({ driver, task: 'widths', options }))
    const steps = counts.map((count) => `stepMs${count}`)
    const measured = rows(await interleaved(runs, repeats), steps, () => peer)
    if (measured.length < runs.length) continue // one of them failed and said so
    const [theirs, ours] = measured
    for (const [i, step] of steps.entries())
      all.push({
        model: name,
        sequences: counts[i],
        upstreamMs: theirs[step],
        sottoMs: ours[step],
        sottoMsLeast: ours[`${step}Least`],
        sottoMsMost: ours[`${step}Most`],
        timesFaster: round(1 / ours[`${step}OfPeer`]),
      })
  }
  return all.sort((a, b) => a.timesFaster - b.timesFaster)
}
