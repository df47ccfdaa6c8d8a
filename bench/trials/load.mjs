// load.mjs: from opening a model to its first token, and the memory it then has. Three states: `cold`, nothing of it in the page
// cache; `first`, nothing packed yet, as after a download; `warm`, as at every start after that.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'
import { must } from '../prepare.mjs'

const contextSize = 2048

// GNU dd tells the kernel to forget a file's pages.
function forgetPages(path) {
  if (process.platform === 'linux')
    must('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none'])
}
const filesBelow = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))

export async function load({ quick, repeats, threads }) {
  const all = []
  for (const name of quick ? ['oneb Q4_0'] : ['smol Q4_0', 'oneb Q4_0', 'oneb Q4_K_M']) {
    const its = await model(name)
    const home = mkdtempSync(join(tmpdir(), 'sotto-bench-'))
    const before = {
      first: () => rmSync(home, { recursive: true, force: true }),
      warm: () => {},
      cold: () => [its.path, ...filesBelow(home)].forEach(forgetPages),
    }
    try {
      for (const [state, prepare] of Object.entries(before)) {
        const runs = ['llama-server', 'sotto', 'node-llama-cpp', 'llama-node'].map((driver) => ({
          driver,
          task: 'load',
          options: { model: its.path, threads, contextSize },
          environment: { SOTTO_HOME: home },
          before: prepare,
        }))
        const wanted = quick ? runs.slice(0, 3) : runs
        const samples = await interleaved(wanted, repeats)
        for (const row of rows(samples, ['openMs', 'processMs'], () => 'llama-server')) {
          const cacheMb = (its.cacheBytes * contextSize) / 2 ** 20
          const fileMb = its.fileBytes / 2 ** 20
          const residentOfFile = Number(((row.rssMb - cacheMb) / fileMb).toFixed(2))
          all.push({ model: name, state, ...row, fileMb: Math.round(fileMb), residentOfFile })
        }
      }
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  }
  return all
}
