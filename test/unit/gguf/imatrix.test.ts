import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readImatrix, writeGguf } from '../../../lib/gguf/index.js'
import { expectCode } from '../../helpers/expect-code.js'
import { writeImatrix, writeOldImatrix } from '../../helpers/write-imatrix.js'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-imatrix-'))
  path = join(folder, 'imatrix')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const importance = { 'a.weight': Float32Array.of(1, 2, 3), 'b.weight': Float32Array.of(0.5, 8) }
const invalid = () => expectCode('ERR_IMATRIX_INVALID', () => readImatrix(path))

describe.each([
  ['of today', writeImatrix],
  ['of before', writeOldImatrix],
] as const)('an importance matrix %s', (_, write) => {
  it('gives the mean of every input, the chunks and the dataset', async () => {
    write(path, importance)
    const { tensors, chunks, dataset } = await readImatrix(path)
    expect(Object.fromEntries(tensors)).toEqual(importance)
    expect(chunks).toBe(3)
    expect(dataset).toMatch(/words\.txt$/)
  })

  it('that is cut anywhere is refused, unless it is whole without its end', async () => {
    write(path, importance)
    const whole = readFileSync(path)
    for (let length = 0; length < whole.length; length += 3) {
      writeFileSync(path, whole.subarray(0, length))
      await readImatrix(path).then(
        ({ tensors }) => expect(Object.fromEntries(tensors)).toEqual(importance),
        (error) => expect(error).toMatchObject({ code: 'ERR_IMATRIX_INVALID' }),
      )
    }
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -1])(
    'with the value %d is refused',
    async (value) => {
      write(path, { 'a.weight': Float32Array.of(1, value) })
      expect((await invalid()).message).toMatch(/"a\.weight"/)
    },
  )
})

describe('of today', () => {
  const tensor = (name: string, columns: number, type = 'F32') => ({
    name,
    type,
    dimensions: [columns, 1],
    data: () => [new Uint8Array(columns * (type === 'F32' ? 4 : 2))],
  })
  it.each([
    ['no tensors', []],
    ['sums without counts', [tensor('a.in_sum2', 4)]],
    ['a tensor of something else', [tensor('a.weight', 4)]],
    ['counts that do not divide the sums', [tensor('a.in_sum2', 4), tensor('a.counts', 3)]],
    ['sums in F16', [tensor('a.in_sum2', 4, 'F16'), tensor('a.counts', 1)]],
    ['counts alone', [tensor('a.counts', 1)]],
  ])('with %s is refused', async (_, tensors) => {
    writeGguf(path, [], tensors)
    await invalid()
  })

  it('gives an expert that no text went to the same weight everywhere', async () => {
    const data = (values: number[]) => () => [new Uint8Array(Float32Array.from(values).buffer)]
    writeGguf(
      path,
      [],
      [
        { name: 'e.in_sum2', type: 'F32', dimensions: [2, 2], data: data([6, 8, 0, 0]) },
        { name: 'e.counts', type: 'F32', dimensions: [1, 2], data: data([2, 0]) },
      ],
    )
    expect((await readImatrix(path)).tensors.get('e')).toEqual(Float32Array.of(3, 4, 1, 1))
  })
})

describe('of before', () => {
  const ints = (...values: number[]) => Buffer.from(Int32Array.from(values).buffer)
  it.each([
    ['no entries', ints(0)],
    ['a negative number of entries', ints(-1)],
    ['2^31 − 1 entries', ints(2 ** 31 - 1, 1)],
    ['a name without end', ints(1, 2 ** 31 - 1)],
    ['an empty name', ints(1, 0, 1, 1)],
    ['no values', Buffer.concat([ints(1, 1), Buffer.from('a'), ints(1, 0)])],
    ['2^31 − 1 values', Buffer.concat([ints(1, 1), Buffer.from('a'), ints(1, 2 ** 31 - 1)])],
    [
      'more values than there are',
      Buffer.concat([ints(1, 1), Buffer.from('a'), ints(1, 9), ints(1)]),
    ],
    ['negative calls', Buffer.concat([ints(1, 1), Buffer.from('a'), ints(-1, 1, 0)])],
  ])('with %s is refused', async (_, bytes) => {
    writeFileSync(path, bytes)
    await invalid()
  })
})

it('a file of gigabytes is refused before it is read, a missing one and a folder by their codes', async () => {
  writeFileSync(path, '')
  truncateSync(path, 2 ** 31)
  await invalid()
  await expectCode('ERR_MODEL_NOT_FOUND', () => readImatrix(join(folder, 'none')))
  await expectCode('ERR_MODEL_UNREADABLE', () => readImatrix(folder))
})
