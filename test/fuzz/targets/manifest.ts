// A manifest and a digest list: a list of names that stay in their folder, or a coded error; what was read is read again alike.

import assert from 'node:assert/strict'
import { formatDigestList, parseDigestList } from '../../../lib/gguf/digest-list.js'
import { isFileName, parseManifest } from '../../../lib/gguf/manifest.js'
import { onlySottoErrors } from './only-sotto-errors.js'

export async function fuzz(data: Buffer): Promise<void> {
  const text = data.toString('utf8')
  const manifest = await onlySottoErrors(['ERR_MANIFEST_INVALID'], () => parseManifest('it', text))
  if (manifest) {
    assert.ok(manifest.shards.every(({ name }) => isFileName(name)))
    assert.deepEqual(parseManifest('it', JSON.stringify(manifest)), manifest)
  }
  const list = await onlySottoErrors(['ERR_MANIFEST_INVALID'], () => parseDigestList('it', text))
  if (list) assert.deepEqual(parseDigestList('it', formatDigestList(list)), list)
}
