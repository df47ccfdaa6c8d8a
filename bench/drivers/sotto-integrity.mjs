// sotto-integrity.mjs: digests, and loads that ask for them.

import { writeFileSync } from 'node:fs'
import { digestFile, loadModel, makeManifest } from '../../dist/index.js'

export async function digest({ model }) {
  await digestFile(model)
  const begin = performance.now()
  const { bytes } = await digestFile(model)
  return { bytesPerSecond: (bytes / (performance.now() - begin)) * 1000 }
}

/** The second load in a process: the first one has packed, and read what is remembered. */
export async function verified({ model, manifest, verify = false, threads, contextSize }) {
  if (manifest) writeFileSync(manifest, JSON.stringify(await makeManifest(model)))
  const source = manifest ?? model
  const options = { threads, contextSize, verify }
  await (await loadModel(source, options)).close()
  const begin = performance.now()
  const loaded = await loadModel(source, options)
  const loadMs = performance.now() - begin
  await loaded.close()
  return { loadMs }
}
