// undisturbed.mjs: streaming's cost on the JS thread, long answers, and answers while the JS thread is blocked.

import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { generated } from './speed.mjs'

export async function undisturbed({ repeats, threads }) {
  const all = []
  for (const name of ['smol Q4_0', 'oneb Q4_0']) {
    const { path } = await model(name)
    const generate = generated[name.split(' ')[0]]
    const run = (label, also) => ({
      label,
      driver: 'sotto',
      task: 'undisturbed',
      options: { model: path, threads, generate, ...also },
    })
    const runs = [
      run('undisturbed', {}),
      run('JS waiting', { blocked: 'waiting' }),
      run('JS computing', { blocked: 'computing' }),
    ]
    // A core for JavaScript: what its computing costs when it does not take one from the engine.
    if (threads > 1)
      runs.push(
        run('one thread less', { threads: threads - 1 }),
        run('one thread less, JS computing', { threads: threads - 1, blocked: 'computing' }),
      )
    if (name === 'smol Q4_0') runs.push(run('4,000 tokens', { generate: 4000 }))
    const peerOf = (label) => (label.startsWith('one thread') ? 'one thread less' : 'undisturbed')
    const samples = await interleaved(runs, repeats)
    for (const { driver, ...row } of rows(samples, ['tokensPerSecond'], peerOf))
      all.push({ model: name, condition: driver, ...row })
  }
  return all
}
