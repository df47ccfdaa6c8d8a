// measure.mjs: runs drivers in turn, each time in a fresh process, and makes rows of what they say.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { here } from './paths.mjs'

const patience = 10 * 60_000 // the slowest run of a machine of two cores takes three minutes

export function median(list) {
  const sorted = [...list].sort((a, b) => a - b)
  const half = (sorted.length - 1) / 2
  return (sorted[Math.floor(half)] + sorted[Math.ceil(half)]) / 2
}
export const round = (value) => Number(value.toPrecision(4))

/** One task of one driver. The outcome is numbers by name, or `{ skipped: why }` from a driver that cannot. */
async function inFreshProcess({ driver, task, options, environment, patienceMs = patience }) {
  const child = spawn(
    process.execPath,
    ['--expose-gc', join(here, 'child.mjs'), driver, task, JSON.stringify(options)],
    {
      cwd: here,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a group of its own, so that the program a driver has started ends with it
    },
  )
  const kill = () => process.kill(-child.pid, 'SIGKILL')
  const interrupted = () => {
    kill()
    process.exit(130)
  }
  let late = false
  const alarm = setTimeout(() => {
    late = true
    kill()
  }, patienceMs)
  process.once('SIGINT', interrupted)
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  process.off('SIGINT', interrupted)
  clearTimeout(alarm)
  if (late) throw new Error(`no figure within ${patienceMs / 60_000} minutes`)
  if (code !== 0) throw new Error(errors.slice(-400))
  return JSON.parse(output.trim().split('\n').at(-1))
}

/**
 * Runs `{ label, driver, task, options, environment, before, patienceMs }` in turn, `repeats` times around, so that a mood of the machine meets all of
 * them. What fails is said and left out: one peer that cannot run a model must not take the others' figures along.
 */
export async function interleaved(runs, repeats) {
  const samples = new Map(runs.map((run) => [run.label ?? run.driver, []]))
  for (let i = 0; i < repeats; i++) {
    for (const run of runs) {
      const label = run.label ?? run.driver
      if (!samples.has(label)) continue
      await run.before?.()
      const outcome = await inFreshProcess(run).catch((error) => {
        process.exitCode = 1
        return { skipped: `failed: ${error.message}` }
      })
      if (outcome.skipped) {
        console.error(`${label}, ${run.task}: ${outcome.skipped}`)
        samples.delete(label)
      } else samples.get(label).push(outcome)
    }
  }
  return samples
}

/**
 * A row a driver: the medians of its outcomes. Of each of `metrics` also least, most and
 * the ratio to the driver that `peerOf` names.
 */
export function rows(samples, metrics, peerOf = () => 'llama-bench') {
  return [...samples].map(([driver, outcomes]) => {
    const row = { driver }
    const peers = samples.get(peerOf(driver))
    for (const name of Object.keys(outcomes[0])) {
      const list = outcomes.map((outcome) => outcome[name])
      row[name] = round(median(list))
      if (!metrics.includes(name)) continue
      row[`${name}Least`] = round(Math.min(...list))
      row[`${name}Most`] = round(Math.max(...list))
      // Runs side by side meet the same mood of the machine: the median of their ratios wavers less than the ratio of medians.
      if (peers?.length)
        row[`${name}OfPeer`] = round(
          median(list.map((value, i) => value / (peers[i] ?? peers[0])[name])),
        )
    }
    return row
  })
}
