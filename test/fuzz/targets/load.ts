// A model file of any bytes: what the gate lets through, native code survives.

import { writeFileSync } from 'node:fs'
import { loadAndAsk, modelPath } from './native-model.js'

export async function fuzz(data: Buffer): Promise<void> {
  writeFileSync(modelPath, data)
  await loadAndAsk()
}
