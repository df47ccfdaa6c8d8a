// quality.mjs: what each type of weights costs and gives: the real model, made F16, in smaller types; the text is that of
// scripts/quality-text.mjs. Distances do not waver: they are measured once, speeds as often as asked.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { here } from '../paths.mjs'

const types = ['F16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'Q4_0', 'IQ4_NL']

export async function quality({ quick, repeats, threads }) {
  const { path } = await model('smollm2-135m-instruct')
  const folder = join(here, 'models')
  mkdirSync(folder, { recursive: true })
  const fileOf = (type) => join(folder, `quality-${type}.gguf`)
  const once = async (task, options) => {
    const [row] = rows(await interleaved([{ driver: 'sotto', task, options }], 1), [])
    if (!row) throw new Error(`${task} gave no figures`)
    const { driver: _, ...figures } = row
    return figures
  }
  const all = []
  for (const type of types) {
    const from = type === 'F16' ? path : fileOf('F16')
    const made = await once('quantize', { model: from, type, output: fileOf(type), threads })
    const options = { model: fileOf('F16'), other: fileOf(type), threads, chunks: quick ? 4 : 53 }
    const distance = type === 'F16' ? {} : await once('compare', options)
    const speed = { model: fileOf(type), threads, prompt: 512, generate: 64 }
    const runs = [{ driver: 'sotto', task: 'speed', options: speed }]
    const [speeds] = rows(await interleaved(runs, repeats), ['promptPerSecond', 'tokensPerSecond'])
    all.push({ type, ...made, ...distance, ...speeds })
  }
  return all
}
