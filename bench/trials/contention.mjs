// contention.mjs: generation beside other programs that never rest, as a share of its own quiet speed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { upstream } from '../paths.mjs'
import { generated } from './speed.mjs'

const busy = () => spawn(process.execPath, ['-e', 'for (;;);'])
const inference = (path) =>
  spawn(upstream('llama-bench'), ['-m', path, '-t', '2', '-p', '0', '-n', '256', '-r', '100000'], {
    stdio: 'ignore',
  })
const companies = {
  none: () => [],
  'one busy program': () => [busy()],
  'two busy programs': () => [busy(), busy()],
  'llama-bench, two threads': (path) => [inference(path)],
}

export async function contention({ quick, repeats, threads }) {
  const all = []
  const names = quick ? ['llama-bench', 'sotto'] : ['llama-bench', 'sotto', 'node-llama-cpp']
  for (const name of quick ? ['oneb Q4_0'] : ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    const quiet = new Map()
    for (const [beside, start] of Object.entries(companies)) {
      if (quick && beside === 'two busy programs') continue
      const others = start(path)
      try {
        const generate = Math.ceil(generated[name.split(' ')[0]] / 2)
        const options = { model: path, threads, generate }
        const runs = names.map((driver) => ({ driver, task: 'speed', options }))
        for (const row of rows(await interleaved(runs, repeats), ['tokensPerSecond'])) {
          if (beside === 'none') quiet.set(row.driver, row.tokensPerSecond)
          const ofQuiet = Number((row.tokensPerSecond / quiet.get(row.driver)).toFixed(2))
          all.push({ model: name, beside, ...row, ofQuiet })
        }
      } finally {
        for (const other of others) {
          const gone = once(other, 'exit')
          other.kill('SIGKILL')
          await gone
        }
      }
    }
  }
  return all
}
