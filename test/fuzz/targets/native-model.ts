// What every target that goes on to native code does with a model file: the gate decides, and what it lets through is loaded and answers. An abort ends the
// process, which is the finding.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkModelFile } from '../../../lib/gguf/gate.js'
import { onlySottoErrors } from './only-sotto-errors.js'

interface Answering {
  text(): Promise<string>
}
interface LoadedModel {
  complete(prompt: string, options: object): Answering
  chat(): { send(message: string, options: object): Answering }
  embed(text: string): Promise<unknown>
  close(): Promise<void>
}

/** An ES module of the project, as it is: its code has no place in this build, and import() must not become require(). */
export function projectModule<T>(path: string): Promise<T> {
  return new Function('url', 'return import(url)')(`file://${process.cwd()}/${path}`)
}

// The package as it is shipped.
const sotto = projectModule<{
  loadModel(path: string, options: object): Promise<LoadedModel>
  SottoError: new () => Error & { code: string }
}>('dist/index.js')

/** The file that is looked at. After a finding it is what was found: scripts/fuzz.mjs says where. */
export const modelPath = join(
  process.env['SOTTO_FUZZ_FINDINGS'] ?? mkdtempSync(join(tmpdir(), 'sotto-fuzz-model-')),
  'last.gguf',
)

/** Loads the file at `modelPath`, and asks it something. */
export async function loadAndAsk(): Promise<void> {
  const passed = await onlySottoErrors(
    [
      'ERR_MODEL_FORMAT',
      'ERR_MODEL_LEGACY',
      'ERR_MODEL_LIMIT',
      'ERR_MODEL_VERSION',
      'ERR_MODEL_UNSUPPORTED',
    ],
    () => checkModelFile(modelPath),
  )
  if (!passed) return
  const { loadModel, SottoError } = await sotto
  const coded = (error: unknown) => {
    if (!(error instanceof SottoError) || error.code === 'ERR_INTERNAL') throw error
  }
  try {
    const model = await loadModel(modelPath, { contextSize: 64, threads: 1, packedCache: false })
    await model.complete('a', { maxTokens: 2, temperature: 0 }).text().catch(coded)
    await model.chat().send('a', { maxTokens: 2 }).text().catch(coded)
    await model.embed('a').catch(coded)
    await model.close()
  } catch (error) {
    coded(error)
  }
}
