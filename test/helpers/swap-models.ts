// swap-models.ts: models of one shape that say different things, and what they say.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { writeGguf } from '../../lib/gguf/writer.js'
import { loadModel, type ModelManager } from '../../lib/index.js'
import { makeTinyModel, tinyModelParts } from '../../scripts/make-tiny-model.mjs'

/** An answer that is the same every time. */
export const greedy = { temperature: 0, ignoreEos: true } as const

/** So long that a reader who does not read has stopped it in the middle. */
export const long = { ...greedy, maxTokens: 3000 }

export function swapModels() {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-swap-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const make = (name: string, seed: number) => makeTinyModel(join(folder, name), { seed })
  return {
    folder,
    one: make('one.gguf', 11),
    two: make('two.gguf', 12),
    three: make('three.gguf', 13),
  }
}

/** What a model says when nobody else is there. */
export async function alone(path: string, prompt: string, options: object): Promise<string> {
  const model = await loadModel(path)
  try {
    return await model.complete(prompt, options).text()
  } finally {
    await model.close()
  }
}

/** A model that loads, and whose every logit is NaN. */
export function makeBroken(path: string): string {
  const { metadata, tensors } = tinyModelParts({})
  const broken = tensors.map((tensor) =>
    tensor.name === 'output_norm.weight' ? { ...tensor, data: () => [notNumbers(tensor)] } : tensor,
  )
  writeGguf(path, metadata, broken)
  return path
}

/** Everything a manager says, as `event source`; a source is the last part of its path. */
export function heard(manager: ModelManager): string[] {
  const said: string[] = []
  for (const event of [
    'loading',
    'loaded',
    'warming',
    'switched',
    'drained',
    'unloaded',
    'evicted',
    'failed',
  ] as const) {
    manager.on(event, ({ source }: { source: string | string[] }) =>
      said.push(`${event} ${String(source).split('/').at(-1)!.replace('.gguf', '')}`),
    )
  }
  return said
}

const notNumbers = ({ dimensions }: { dimensions: number[] }) =>
  new Uint8Array(new Float32Array(dimensions[0]!).fill(Number.NaN).buffer)
