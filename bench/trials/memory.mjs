// memory.mjs: the estimate that is made before a load, beside what the process has resident afterwards.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

const loads = [
  {},
  { contextSize: 2048, cacheType: 'q8_0' },
  { contextSize: 8192, batchSize: 1024, cacheType: 'q4_0' },
  { contextSize: 2048, cacheType: 'f32', batchSize: 256 },
  { packedCache: false },
]

export async function memory({ quick, threads }) {
  const warmer = (await model('tiny F32')).path
  const names = ['smol Q4_0', 'smol F16', 'qwen Q4_0', 'gemma Q4_0', 'oneb Q4_K_M']
  const all = []
  for (const name of quick ? names.slice(0, 3) : names) {
    const { path } = await model(name)
    const runs = loads.map((load) => {
      const label = Object.entries(load).flat().join(' ') || 'defaults'
      const options = { model: path, warmer, threads, load }
      return { label, driver: 'sotto-memory', task: 'memory', options }
    })
    for (const { driver, ...row } of rows(await interleaved(runs, 1), []))
      all.push({ model: name, options: driver, ...row })
  }
  return all
}
