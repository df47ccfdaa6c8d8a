// A file from the future, or of something that this build does not know: a code of its own each, and what would help.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { loadModel, quantizeModel } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

let folder: string
let path: string
let bytes: Buffer
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-versions-'))
  path = join(folder, 'model.gguf')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const write = (change: () => void) => {
  bytes = readFileSync(inject('models').tiny)
  change()
  writeFileSync(path, bytes)
}

it('GGUF version 4 is ERR_MODEL_VERSION: a newer sotto may read it', async () => {
  write(() => bytes.writeUInt32LE(4, 4))
  const { message } = await expectCode('ERR_MODEL_VERSION', () => loadModel(path))
  expect(message).toMatch(/1, 2 or 3, received 4: a newer sotto may read it/)
})

it('an architecture that nobody knows is ERR_MODEL_UNSUPPORTED, by its name: a newer sotto may know it', async () => {
  write(() => {
    bytes = Buffer.from(bytes.toString('latin1').replaceAll('llama', 'lxama'), 'latin1')
  })
  for (const work of [() => loadModel(path), () => quantizeModel(path, 'Q8_0')]) {
    const { message } = await expectCode('ERR_MODEL_UNSUPPORTED', work)
    expect(message).toMatch(/'lxama'.*newer sotto may know it/)
  }
})

it('a type of weights that nobody knows is ERR_MODEL_UNSUPPORTED, by its tensor: a newer sotto may read it', async () => {
  write(() => {
    const name = Buffer.from('blk.0.attn_q.weight')
    const at = bytes.indexOf(name) + name.length + 4 + 2 * 8
    expect(bytes.readUInt32LE(at)).toBe(0)
    bytes.writeUInt32LE(99, at)
  })
  const { message } = await expectCode('ERR_MODEL_UNSUPPORTED', () => loadModel(path))
  expect(message).toMatch(/"blk\.0\.attn_q\.weight" has number 99: a newer sotto may read it/)
})
