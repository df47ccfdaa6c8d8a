// start.mjs: from the command to the first character of the answer, everything being set up: what a user of `npm start` waits.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { median, round } from '../measure.mjs'
import { root } from '../paths.mjs'

export async function start({ repeats }) {
  const times = []
  for (let i = 0; i <= repeats; i++) {
    const begin = performance.now()
    const child = spawn('npm', ['start', '--silent', '--', 'Why is the sky blue?'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await once(child.stdout, 'data')
    times.push(performance.now() - begin)
    child.stdout.resume()
    await once(child, 'exit')
  }
  times.shift() // the first one may have had something to set up
  return [{ firstTokenMs: round(median(times)), worstMs: round(Math.max(...times)) }]
}
