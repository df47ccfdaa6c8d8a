// shards.mjs: a model of 15 B parameters, one shard a layer: what splitting it takes, and how it loads and generates from its shards:
// `first`, with nothing packed yet; `warm`, as at every start after that. llama-bench reads the same shards.
// Needs 18 GB of disk, and gives them back.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ofLimit } from '../limits.mjs'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { here } from '../paths.mjs'

const generate = 24
const contextSize = 2048

export async function shards({ quick, repeats, threads, limits }) {
  const name = quick ? 'oneb Q4_0' : 'fifteenb Q4_0'
  const its = await model(name)
  const work = mkdtempSync(join(here, 'models', 'shards-'))
  const folder = join(work, 'shards')
  try {
    const split = { driver: 'sotto', task: 'split', options: { model: its.path, folder } }
    const [splitting] = rows(await interleaved([split], 1), ['seconds'])
    // Model, shards and packed weights would be a third more.
    if (!quick) rmSync(its.path)
    const paths = readdirSync(folder).sort()
    const options = { model: join(folder, paths[0]), threads, contextSize, generate }
    const environment = { SOTTO_HOME: join(work, 'home') }
    const ours = { driver: 'sotto', task: 'generation', options, environment }
    const forget = () => rmSync(environment.SOTTO_HOME, { recursive: true, force: true })
    const states = [
      { ...ours, label: 'sotto first', before: forget },
      { ...ours, label: 'sotto warm' },
      { driver: 'llama-bench', task: 'speed', options },
    ]
    const samples = await interleaved(states, repeats)
    const base = { model: name, shards: paths.length, fileMb: Math.round(its.fileBytes / 2 ** 20) }
    return [
      { ...base, ...splitting, driver: 'sotto split' },
      ...rows(samples, ['tokensPerSecond'], () => 'llama-bench').map((row) => ({
        ...base,
        ...row,
        ...ofLimit(row, its, limits),
      })),
    ]
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
