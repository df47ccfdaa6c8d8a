// A model from before GGUF: described and planned as a new file, or a coded error.

import assert from 'node:assert/strict'
import { planConversion } from '../../../lib/gguf/converter.js'
import { writeHead } from '../../../lib/gguf/head-writer.js'
import { readLegacy } from '../../../lib/gguf/legacy-reader.js'
import { readGguf } from '../../../lib/gguf/reader.js'
import { onlySottoErrors } from './only-sotto-errors.js'

export async function fuzz(data: Buffer): Promise<void> {
  const model = await onlySottoErrors(
    ['ERR_MODEL_FORMAT', 'ERR_MODEL_LIMIT', 'ERR_MODEL_VERSION', 'ERR_MODEL_UNSUPPORTED'],
    () => readLegacy(data),
  )
  if (!model) return
  for (const { offset, bytes } of model.tensors)
    assert.ok(Number.isSafeInteger(offset) && bytes >= 0 && offset + bytes <= data.length)
  const plan = await onlySottoErrors(
    ['ERR_MODEL_LEGACY', 'ERR_MODEL_FORMAT', 'ERR_MODEL_LIMIT', 'ERR_OPTION_INVALID'],
    () => planConversion(model, {}),
  )
  if (!plan) return
  const format = { version: 3, byteOrder: 'little' as const, alignment: 32 }
  const { bytes } = writeHead(format, plan.entries, plan.tensors)
  const size = plan.tensors.reduce((sum, tensor) => sum + Math.ceil(tensor.bytes / 32) * 32, 0)
  const head = await readGguf(Buffer.concat([bytes, Buffer.alloc(size)]))
  assert.equal(head.tensors.length, plan.tensors.length)
}
