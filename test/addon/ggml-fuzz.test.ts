// Whatever an operation is given, the process lives. A child does it, and writes down each case before it tries.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { native } from '../../lib/native.js'
import { examples } from '../../scripts/ggml-examples.mjs'
import { readTable } from '../../scripts/ggml-header.mjs'

const work = mkdtempSync(join(tmpdir(), 'sotto-fuzz-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

it('there is an example of every operation, and the addon has every one of the table', () => {
  const method = (name: string) =>
    name.slice('ggml_'.length).replace(/_+([a-z0-9])/g, (_, letter) => letter.toUpperCase())
  const operations = native().tensorOperations()
  expect(operations.length).toBeGreaterThan(220)
  expect(operations.map(({ name }) => name)).toEqual(readTable().map(({ name }) => name))
  for (const { parameters, kinds } of operations)
    expect(parameters.split(' ').length).toBe(kinds.length)
  const missing = new Set(operations.map(({ name }) => method(name)))
  for (const [name] of examples) missing.delete(name)
  expect([...missing]).toEqual([])
})

it('every example is computed, and of 2,500 distorted ones each ends in a result or a documented error', () => {
  const note = join(work, 'note')
  const arguments_ = [
    'scripts/fuzz-ggml.mjs',
    '--seed',
    '20261127',
    '--cases',
    '2750',
    '--note',
    note,
  ]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, arguments_, {
    encoding: 'utf8',
  })
  expect({ status, signal, stderr, at: status === 0 ? '' : readFileSync(note, 'utf8') }).toEqual({
    status: 0,
    signal: null,
    stderr: '',
    at: '',
  })
  const counts: Record<string, number> = JSON.parse(stdout)
  expect(counts['computed']).toBeGreaterThan(1000)
  expect(counts['ERR_TENSOR_SHAPE']).toBeGreaterThan(100)
}, 600_000)
