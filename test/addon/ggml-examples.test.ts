import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { codeBlocks, runnable } from '../helpers/examples.js'

const examples = readdirSync('lib/ggml').flatMap((file) =>
  codeBlocks(readFileSync(join('lib', 'ggml', file), 'utf8'), 'ts').map(
    (example, i) => [`${file} ${i + 1}`, example] as const,
  ),
)

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-examples-'))
  copyFileSync(inject('models').tiny, join(folder, 'model.gguf'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('there are examples', () => expect(examples.length).toBeGreaterThan(5))

it.each(examples)('the example of %s runs', (_, example) => {
  const how = ['--input-type=module', '-e', runnable(example)]
  execFileSync(process.execPath, how, { cwd: folder })
})
