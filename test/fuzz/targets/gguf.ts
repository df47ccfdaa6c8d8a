// The head of a GGUF file: whatever the bytes are, the reader gives a model that it can describe, or a coded error.

import assert from 'node:assert/strict'
import { estimateMemory } from '../../../lib/gguf/estimate.js'
import { checkModel } from '../../../lib/gguf/gate.js'
import { GgufArray, readGguf } from '../../../lib/gguf/reader.js'
import { onlySottoErrors } from './only-sotto-errors.js'

export async function fuzz(data: Buffer): Promise<void> {
  const file = await onlySottoErrors(
    ['ERR_MODEL_FORMAT', 'ERR_MODEL_LIMIT', 'ERR_MODEL_VERSION', 'ERR_MODEL_UNSUPPORTED'],
    () => readGguf(data),
  )
  if (!file) return
  assert.equal(file.fileBytes, data.length)
  for (const value of file.metadata.values())
    if (value instanceof GgufArray) assert.equal(value.toArray().length, value.length)
  for (const { offset, bytes } of file.tensors) {
    assert.ok(Number.isSafeInteger(offset) && offset >= 0 && bytes >= 0)
    assert.ok(file.dataOffset + offset + bytes <= data.length)
  }
  const passed = await onlySottoErrors(
    ['ERR_MODEL_FORMAT', 'ERR_MODEL_LIMIT', 'ERR_MODEL_UNSUPPORTED'],
    () => {
      checkModel(file)
      return true
    },
  )
  if (passed) assert.ok(estimateMemory(file).total >= 0)
}
