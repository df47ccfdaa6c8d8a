// open-model.ts: what run, chat and embed do first: pull a model of the catalogue if it is not here, and load it.

import { type LoadOptions, loadModel } from '../load.js'
import type { Model } from '../model.js'
import { catalog } from '../models/catalog.js'
import { pullModel } from '../models/pull.js'
import { findModel } from '../models/store.js'
import { Progress } from './progress.js'

export interface LoadFlags {
  threads?: number | 'auto'
  context?: number
  gpuLayers?: number
}

export interface SamplingFlags {
  maxTokens?: number
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  seed?: number
  stop?: string[]
}

export async function openModel(name: string, flags: LoadFlags, signal?: AbortSignal): Promise<Model> {
  if (Object.hasOwn(catalog, name) && !(await findModel(name))) {
    const bar = new Progress(name)
    try {
      await pullModel(name, { onProgress: ({ phase, bytes, totalBytes }) => bar.update(phase, bytes, totalBytes), ...(signal ? { signal } : {}) })
    } finally {
      bar.stop()
    }
  }
  const options: LoadOptions = {}
  if (flags.threads !== undefined) options.threads = flags.threads
  if (flags.context !== undefined) options.contextSize = flags.context
  if (flags.gpuLayers !== undefined) options.gpuLayers = flags.gpuLayers
  if (signal) options.signal = signal
  return loadModel(name, options)
}

export function samplingOf({ maxTokens, temperature, topK, topP, minP, seed, stop }: SamplingFlags): SamplingFlags {
  return Object.fromEntries(
    Object.entries({ maxTokens, temperature, topK, topP, minP, seed, stop }).filter(([, value]) => value !== undefined),
  )
}

export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
