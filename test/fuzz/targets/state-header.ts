// The head of a conversation in a file: a header whose sizes are possible, or a coded error. Its digest is put right first: else nothing gets past it.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { headerBytes, parseStateHeader } from '../../../lib/manager/state-header.js'
import { onlySottoErrors } from './only-sotto-errors.js'

export async function fuzz(data: Buffer): Promise<void> {
  await onlySottoErrors(['ERR_STATE_INVALID'], () => parseStateHeader(data))
  if (data.length < headerBytes) return
  const header = Buffer.from(data)
  createHash('sha256').update(header.subarray(0, 144)).digest().copy(header, 144)
  const its = await onlySottoErrors(['ERR_STATE_INVALID'], () => parseStateHeader(header))
  if (!its) return
  assert.ok(Number.isSafeInteger(its.fileBytes) && its.fileBytes >= headerBytes)
  assert.equal(its.tokens === 0, its.stateBytes === 0)
}
