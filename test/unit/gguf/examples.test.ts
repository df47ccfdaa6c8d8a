import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { splitModel } from '../../../lib/gguf/index.js'
import { codeBlocks, runnable } from '../../helpers/examples.js'
import { writeLayered } from '../../helpers/layered-model.js'
import { writeLegacy, writePieceModel } from '../../helpers/legacy-model.js'
import { writeImatrix } from '../../helpers/write-imatrix.js'

const examples = readdirSync('lib/gguf').flatMap((file) =>
  codeBlocks(readFileSync(join('lib', 'gguf', file), 'utf8'), 'ts').map(
    (example, i) => [`${file} ${i + 1}`, example] as const,
  ),
)

// A folder as the examples speak of it.
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-examples-'))
  const model = writeLayered(join(folder, 'model.gguf'))
  await splitModel(model, { shards: 4 })
  writeImatrix(join(folder, 'imatrix.gguf'), { 'a.weight': Float32Array.of(1, 2) })
  const pieces = writePieceModel(join(folder, 'pieces.gguf'))
  await writeLegacy(join(folder, 'old.bin'), pieces, { format: 'ggjt', version: 3 })
  await splitModel(model, { names: '%d.bin' })
  mkdirSync(join(folder, 'shards'))
  await splitModel(model, { names: 's%d', folder: join(folder, 'shards') })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('there are examples', () => expect(examples.length).toBeGreaterThan(5))

it.each(examples)('the example of %s runs', (_, example) => {
  const work = mkdtempSync(join(tmpdir(), 'sotto-example-'))
  try {
    cpSync(folder, work, { recursive: true })
    // The splitter makes this one itself.
    if (example.includes("folder: 'shards'")) rmSync(join(work, 'shards'), { recursive: true })
    execFileSync(process.execPath, ['--input-type=module', '-e', runnable(example)], { cwd: work })
  } finally {
    rmSync(work, { recursive: true })
  }
})
