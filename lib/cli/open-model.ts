// open-model.ts: what run, chat and embed do first: pull a model of the catalogue if it is not here, and load it.

import { type LoadOptions, loadModel } from '../load.js'
import type { Model } from '../model.js'
import { catalog } from '../models/catalog.js'
import { findModel } from '../models/store.js'
import { Progress } from './progress.js'

export interface LoadFlags {
  threads?: number | 'auto'
  context?: number
  gpuLayers?: number
  draft?: string
  speculation?: boolean
}

const patienceMs = 500 // most loads are over before a bar would be worth reading

export async function openModel(
  name: string,
  flags: LoadFlags,
  signal?: AbortSignal,
): Promise<Model> {
  for (const wanted of flags.draft === undefined ? [name] : [name, flags.draft])
    if (Object.hasOwn(catalog, wanted) && !(await findModel(wanted))) await pull(wanted, signal)
  const options: LoadOptions = {
    threads: flags.threads,
    contextSize: flags.context,
    gpuLayers: flags.gpuLayers,
    draft: flags.draft,
    speculation: flags.speculation === false ? false : 'auto',
    signal,
  }
  if (!process.stderr.isTTY) return loadModel(name, options)
  const bar = await Progress.start(name)
  const began = performance.now()
  options.onProgress = ({ fraction }) => {
    if (performance.now() - began > patienceMs) bar.share('loading', fraction)
  }
  try {
    return await loadModel(name, options)
  } finally {
    bar.stop()
  }
}

async function pull(name: string, signal: AbortSignal | undefined): Promise<void> {
  const { pullModel } = await import('../models/pull.js')
  const bar = await Progress.start(name)
  try {
    await pullModel(name, {
      signal,
      onProgress: ({ phase, bytes, totalBytes }) => bar.update(phase, bytes, totalBytes),
    })
  } finally {
    bar.stop()
  }
}
