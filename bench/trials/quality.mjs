// quality.mjs: what each type of weights costs and gives: the real model, made F16, in smaller types, with and without an importance
// matrix; the texts are those of scripts/quality-text.mjs. Distances do not waver: they are measured once, speeds as often as asked.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { here } from '../paths.mjs'

const types = ['F16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'Q4_0', 'IQ4_NL']
const unweighed = ['F16', 'Q8_0'] // upstream does not ask what matters there

export async function quality({ quick, repeats, threads }) {
  const { path } = await model('smollm2-135m-instruct')
  const folder = join(here, 'models')
  mkdirSync(folder, { recursive: true })
  const fileOf = (type) => join(folder, `quality-${type}.gguf`)
  const imatrix = fileOf('imatrix')
  const once = async (task, options) => {
    const [row] = rows(await interleaved([{ driver: 'sotto', task, options }], 1), [])
    if (!row) throw new Error(`${task} gave no figures`)
    const { driver: _, ...figures } = row
    return figures
  }
  const f16 = { model: fileOf('F16'), threads }
  const distanceOf = (other) =>
    once('compare', { ...f16, other: fileOf(other), chunks: quick ? 4 : 53 })
  const all = []
  for (const type of types) {
    const from = type === 'F16' ? path : fileOf('F16')
    const quantizing = { model: from, type, threads }
    const made = await once('quantize', { ...quantizing, output: fileOf(type) })
    if (type === 'F16')
      Object.assign(
        made,
        await once('imatrix', { ...f16, output: imatrix, chunks: quick ? 4 : undefined }),
      )
    const distance = type === 'F16' ? {} : await distanceOf(type)
    const weighed = {}
    if (!unweighed.includes(type)) {
      await once('quantize', { ...quantizing, output: fileOf('weighed'), imatrix })
      for (const [name, value] of Object.entries(await distanceOf('weighed')))
        weighed[`weighed${name[0].toUpperCase()}${name.slice(1)}`] = value
    }
    const speed = { model: fileOf(type), threads, prompt: 512, generate: 64 }
    const runs = [{ driver: 'sotto', task: 'speed', options: speed }]
    const [speeds] = rows(await interleaved(runs, repeats), ['promptPerSecond', 'tokensPerSecond'])
    all.push({ type, ...made, ...distance, ...weighed, ...speeds })
  }
  return all
}
