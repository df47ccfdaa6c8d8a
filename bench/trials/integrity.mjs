// integrity.mjs: SHA-256 of a model's file that lies in the page cache, one core each: bytes a second, of sha256sum's; and what a verified load takes over
// one that is not, the digest being remembered.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { interleaved, rows } from '../measure.mjs'
import { model } from '../models.mjs'

export async function integrity({ repeats, threads }) {
  const its = await model('oneb Q8_0')
  const manifest = `${its.path}.manifest.json` // a manifest's files lie beside it
  const home = mkdtempSync(join(tmpdir(), 'sotto-bench-'))
  const options = { model: its.path, threads, contextSize: 512 }
  const environment = { SOTTO_HOME: home }
  try {
    const digests = await interleaved(
      [
        { driver: 'sha256sum', task: 'digest', options },
        { driver: 'sotto', task: 'digest', options, environment },
      ],
      repeats,
    )
    const loads = await interleaved(
      [
        { label: 'unverified', driver: 'sotto', task: 'verified', options, environment },
        {
          label: 'remembered',
          driver: 'sotto',
          task: 'verified',
          options: { ...options, verify: true, manifest },
          environment,
        },
      ],
      repeats,
    )
    return [
      ...rows(digests, ['bytesPerSecond'], () => 'sha256sum'),
      ...rows(loads, ['loadMs'], () => 'unverified'),
    ].map((row) => ({ model: its.name, fileMb: Math.round(its.fileBytes / 2 ** 20), ...row }))
  } finally {
    rmSync(home, { recursive: true, force: true })
    rmSync(manifest, { force: true })
  }
}
