// What the gate lets through, native code survives: it loads or refuses, and answers. A finding here ends the process.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkModelFile } from '../../../lib/gguf/gate.js'
import { onlySottoErrors } from './only-sotto-errors.js'

const path = join(mkdtempSync(join(tmpdir(), 'sotto-fuzz-load-')), 'model.gguf')

interface Answering {
  text(): Promise<string>
}
interface LoadedModel {
  complete(prompt: string, options: object): Answering
  chat(): { send(message: string, options: object): Answering }
  close(): Promise<void>
}
// The package as it is shipped: its native code has no place in this build, and import() must not become require().
const sotto = new Function('url', 'return import(url)')(
  `file://${process.cwd()}/dist/index.js`,
) as Promise<{
  loadModel(path: string, options: object): Promise<LoadedModel>
  SottoError: new () => Error & { code: string }
}>

export async function fuzz(data: Buffer): Promise<void> {
  writeFileSync(path, data)
  const passed = await onlySottoErrors(
    [
      'ERR_MODEL_FORMAT',
      'ERR_MODEL_LEGACY',
      'ERR_MODEL_LIMIT',
      'ERR_MODEL_VERSION',
      'ERR_MODEL_UNSUPPORTED',
    ],
    () => checkModelFile(path),
  )
  if (!passed) return
  const { loadModel, SottoError } = await sotto
  try {
    const model = await loadModel(path, { contextSize: 64, threads: 1, packedCache: false })
    await model.complete('a', { maxTokens: 2, temperature: 0 }).text().catch(coded)
    await model.chat().send('a', { maxTokens: 2 }).text().catch(coded)
    await model.close()
  } catch (error) {
    coded(error)
  }
  function coded(error: unknown): void {
    if (!(error instanceof SottoError) || error.code === 'ERR_INTERNAL') throw error
  }
}
