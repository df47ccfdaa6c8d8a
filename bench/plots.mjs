// plots.mjs: bench/results/*.svg out of bench/results/*.csv, rendered by Vega without a browser.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { here } from './paths.mjs'
import { read } from './results.mjs'

const driverColour = {
  field: 'driver',
  title: null,
  legend: { orient: 'top' },
  scale: { scheme: 'tableau10' },
}
const bars = (x, y, title) => ({
  mark: 'bar',
  encoding: {
    x: { field: x, title: null, sort: null, axis: { labelAngle: 0, labelLimit: 200 } },
    xOffset: { field: 'driver', sort: null },
    y: { field: y, type: 'quantitative', title },
    color: { ...driverColour, sort: null },
  },
})
const lines = (x, xTitle, y, title) => ({
  mark: { type: 'line', point: true },
  encoding: {
    x: { field: x, type: 'quantitative', title: xTitle },
    y: { field: y, type: 'quantitative', title, scale: { zero: true } },
    color: driverColour,
  },
})
const about = (name) => (row) => row.model === name
const peersToo = ({ driver }) => /^(sotto|llama-bench|node-llama-cpp)$/.test(driver)

/** File name → which rows, and what to draw of them. The quick run's rows stand in for a trial that was not run whole. */
const plots = {
  prompt: ['speed', peersToo, bars('model', 'promptPerSecond', 'prompt of 512, tokens/s')],
  generation: ['speed', peersToo, bars('model', 'tokensPerSecond', 'generation, tokens/s')],
  depth: [
    'generation',
    about('oneb Q4_0'),
    lines('depth', 'tokens before it', 'tokensPerSecond', 'oneb Q4_0, generation, tokens/s'),
  ],
  batch: [
    'batch',
    about('oneb Q4_0'),
    lines('sequences', 'sequences', 'stepMs', 'oneb Q4_0, a step, ms'),
  ],
  contention: [
    'contention',
    about('oneb Q4_0'),
    bars('beside', 'ofQuiet', 'oneb Q4_0, generation, of quiet speed'),
  ],
}

async function svg(spec, values) {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  const whole = { ...spec, data: { values }, width: 640, height: 240, background: 'white' }
  const view = new vega.View(vega.parse(compile(whole).spec), { renderer: 'none' })
  return view.toSVG()
}

/** Draws what there are results for. */
export async function drawPlots() {
  for (const [name, [trial, wanted, spec]] of Object.entries(plots)) {
    const whole = read(trial, false).rows
    const rows = (whole.length > 0 ? whole : read(trial, true).rows).filter(wanted)
    if (rows.length > 0)
      writeFileSync(join(here, 'results', `${name}.svg`), `${await svg(spec, rows)}\n`)
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await drawPlots()
