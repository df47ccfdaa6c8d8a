// An importance matrix, of either format: finite numbers by tensor, or a coded error.

import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readImatrix } from '../../../lib/gguf/imatrix.js'
import { onlySottoErrors } from './only-sotto-errors.js'

const path = join(mkdtempSync(join(tmpdir(), 'sotto-fuzz-imatrix-')), 'imatrix')

export async function fuzz(data: Buffer): Promise<void> {
  writeFileSync(path, data)
  const matrix = await onlySottoErrors(['ERR_IMATRIX_INVALID'], () => readImatrix(path))
  if (!matrix) return
  for (const values of matrix.tensors.values())
    assert.ok(values.every((value) => Number.isFinite(value) && value >= 0))
}
