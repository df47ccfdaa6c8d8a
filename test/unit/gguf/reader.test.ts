import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { SottoError } from '../../../lib/errors.js'
import {
  GgufArray,
  type GgufEntry,
  readGguf,
  tensorTypes,
  writeGguf,
} from '../../../lib/gguf/index.js'
import { expectCode } from '../../helpers/expect-code.js'

let folder: string
let whole: Uint8Array
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-gguf-'))
  writeGguf(
    join(folder, 'small.gguf'),
    [
      { key: 'general.architecture', type: 'string', value: 'llama' },
      { key: 'a.number', type: 'uint64', value: 2n ** 60n },
      { key: 'a.list', type: 'int32', value: [1, -2, 3] },
      { key: 'a.texts', type: 'string', value: ['x', 'größe', ''] },
    ],
    [
      { name: 'one', type: 'F32', dimensions: [4, 2], data: () => [new Uint8Array(32)] },
      { name: 'two', type: 'Q4_0', dimensions: [32], data: () => [new Uint8Array(18)] },
    ],
  )
  whole = readFileSync(join(folder, 'small.gguf'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A header followed by whatever is given. */
function head(tensors: bigint, entries: bigint, version = 3): Buffer {
  const bytes = Buffer.alloc(24)
  bytes.write('GGUF')
  bytes.writeUInt32LE(version, 4)
  bytes.writeBigUInt64LE(tensors, 8)
  bytes.writeBigUInt64LE(entries, 16)
  return bytes
}
const text = (value: string | bigint) => {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(typeof value === 'string' ? BigInt(Buffer.byteLength(value)) : value)
  return typeof value === 'string' ? Buffer.concat([length, Buffer.from(value)]) : length
}
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}
const tensor = (
  name: string | bigint,
  rank: number,
  dimensions: bigint[],
  type: number,
  offset: bigint,
) => Buffer.concat([text(name), u32(rank), ...dimensions.map(u64), u32(type), u64(offset)])

describe('reading', () => {
  it('gives back what was written', async () => {
    const file = await readGguf(join(folder, 'small.gguf'))
    expect(file).toMatchObject({ version: 3, byteOrder: 'little', alignment: 32 })
    expect(file.metadata.get('a.number')).toBe(2n ** 60n)
    expect((file.metadata.get('a.list') as GgufArray).toArray()).toEqual([1, -2, 3])
    expect((file.metadata.get('a.texts') as GgufArray).toArray()).toEqual(['x', 'größe', ''])
    expect(file.tensors).toEqual([
      { name: 'one', type: 'F32', dimensions: [4, 2], offset: 0, bytes: 32 },
      { name: 'two', type: 'Q4_0', dimensions: [32], offset: 32, bytes: 18 },
    ])
    expect(await readGguf(whole)).toEqual(file)
  })

  it('reads a real model quickly and without its data', async () => {
    const before = process.memoryUsage().arrayBuffers
    const file = await readGguf(inject('models').real)
    expect(file.tensors).toHaveLength(272)
    expect(file.metadata.get('general.architecture')).toBe('llama')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16e6)
  })

  it('reads version 1 and big-endian files', async () => {
    const one = Buffer.concat([
      Buffer.from('GGUF'),
      u32(1),
      u32(0),
      u32(1),
      u32(1),
      Buffer.from('k'),
      u32(8),
      u32(2),
      Buffer.from('hi'),
    ])
    expect((await readGguf(one)).metadata.get('k')).toBe('hi')
    const big = Buffer.alloc(24)
    big.write('GGUF')
    big.writeUInt32BE(3, 4)
    expect(await readGguf(big)).toMatchObject({ byteOrder: 'big', version: 3 })
  })

  it('knows every tensor type of the vendored ggml, with its sizes', async () => {
    const header = readFileSync('native/ggml/llama.cpp/ggml/include/ggml.h', 'utf8')
    const source = readFileSync('native/ggml/llama.cpp/ggml/src/ggml.c', 'utf8')
    const types = /enum ggml_type \{([\s\S]*?)\};/.exec(header)![1]!
    for (const [, name, id] of types.matchAll(/^\s*GGML_TYPE_(\w+)\s*=\s*(\d+),/gm)) {
      if (name === 'COUNT') continue
      expect(tensorTypes.get(name!)?.id, name).toBe(Number(id))
    }
    for (const [, name, block] of source.matchAll(
      /\[GGML_TYPE_(\w+)\] = \{[^}]*?\.blck_size\s*=\s*(\w+),/g,
    )) {
      const known = tensorTypes.get(name!)
      if (known && block === 'QK_K') expect(known.blockSize, name).toBe(256)
      if (known && block === '1') expect(known.blockSize, name).toBe(1)
    }
  })
})

describe('hostile files', () => {
  it.each([
    ['(1) bad magic', Buffer.from('GGUG\0\0\0\0'), 'ERR_MODEL_FORMAT'],
    ['(1) version 0', head(0n, 0n, 0), 'ERR_MODEL_VERSION'],
    ['(1) version 2^31', head(0n, 0n, 2 ** 31), 'ERR_MODEL_VERSION'],
    ['(16) a version from the future', head(0n, 0n, 4), 'ERR_MODEL_VERSION'],
    ['(3) 2^32 entries', head(0n, 2n ** 32n), 'ERR_MODEL_LIMIT'],
    ['(3) 2^63 tensors', head(2n ** 63n, 0n), 'ERR_MODEL_LIMIT'],
    ['(3) 2^64-1 entries', head(0n, 2n ** 64n - 1n), 'ERR_MODEL_LIMIT'],
    ['(4) a key of 2^63 bytes', Buffer.concat([head(0n, 1n), text(2n ** 63n)]), 'ERR_MODEL_LIMIT'],
    [
      '(4) a string longer than the file',
      Buffer.concat([head(0n, 1n), text('k'), u32(8), text(1000n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(5) an array of arrays',
      Buffer.concat([head(0n, 1n), text('k'), u32(9), u32(9), u64(1n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(5) an unknown array type',
      Buffer.concat([head(0n, 1n), text('k'), u32(9), u32(99), u64(1n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(5) 2^40 items',
      Buffer.concat([head(0n, 1n), text('k'), u32(9), u32(0), u64(2n ** 40n)]),
      'ERR_MODEL_LIMIT',
    ],
    [
      '(6) a key twice',
      Buffer.concat([
        head(0n, 2n),
        text('k'),
        u32(0),
        Buffer.from([1]),
        text('k'),
        u32(0),
        Buffer.from([1]),
      ]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(6) a tensor twice',
      Buffer.concat([
        head(2n, 0n),
        tensor('t', 1, [1n], 0, 0n),
        tensor('t', 1, [1n], 0, 32n),
        Buffer.alloc(99),
      ]),
      'ERR_MODEL_FORMAT',
    ],
    ...[0, 3, 2 ** 31].map(
      (alignment) =>
        [
          `(7) alignment ${alignment}`,
          Buffer.concat([head(0n, 1n), text('general.alignment'), u32(4), u32(alignment)]),
          alignment > 65536 ? 'ERR_MODEL_LIMIT' : 'ERR_MODEL_FORMAT',
        ] as const,
    ),
    [
      '(8) no dimensions',
      Buffer.concat([head(1n, 0n), tensor('t', 0, [], 0, 0n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(8) five dimensions',
      Buffer.concat([head(1n, 0n), tensor('t', 5, [1n, 1n, 1n, 1n, 1n], 0, 0n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(8) a product beyond counting',
      Buffer.concat([head(1n, 0n), tensor('t', 3, [2n ** 40n, 2n ** 40n, 2n ** 40n], 0, 0n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(8) a dimension of -1',
      Buffer.concat([head(1n, 0n), tensor('t', 1, [2n ** 64n - 1n], 0, 0n)]),
      'ERR_MODEL_LIMIT',
    ],
    [
      '(8) an empty dimension',
      Buffer.concat([head(1n, 0n), tensor('t', 1, [0n], 0, 0n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(9) an unaligned offset',
      Buffer.concat([head(1n, 0n), tensor('t', 1, [1n], 0, 5n), Buffer.alloc(99)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(9) an offset past the end',
      Buffer.concat([head(1n, 0n), tensor('t', 1, [1n], 0, 2n ** 62n)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(9) overlapping tensors',
      Buffer.concat([
        head(2n, 0n),
        tensor('a', 1, [16n], 0, 0n),
        tensor('b', 1, [16n], 0, 32n),
        Buffer.alloc(999),
      ]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(10) an unknown tensor type',
      Buffer.concat([head(1n, 0n), tensor('t', 1, [1n], 4, 0n), Buffer.alloc(99)]),
      'ERR_MODEL_UNSUPPORTED',
    ],
    [
      '(10) rows that blocks cannot divide',
      Buffer.concat([head(1n, 0n), tensor('t', 1, [33n], 2, 0n), Buffer.alloc(99)]),
      'ERR_MODEL_FORMAT',
    ],
    [
      '(11) a name of 64 bytes',
      Buffer.concat([head(1n, 0n), tensor('n'.repeat(64), 1, [1n], 0, 0n)]),
      'ERR_MODEL_LIMIT',
    ],
    [
      '(11) a name with NUL',
      Buffer.concat([head(1n, 0n), tensor('a\0b', 1, [1n], 0, 0n)]),
      'ERR_MODEL_FORMAT',
    ],
  ] as const)('%s', async (_, bytes, code) => {
    await expectCode(code, () => readGguf(bytes))
  })

  it('(2) is refused truncated at every byte of its head', async () => {
    const { dataOffset } = await readGguf(whole)
    for (let length = 0; length < dataOffset; length++)
      await expectCode('ERR_MODEL_FORMAT', () => readGguf(whole.subarray(0, length)))
  })

  it('throws nothing but SottoError over 4,000 mutations', async () => {
    let state = 1
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    for (let round = 0; round < 4000; round++) {
      const bytes = Buffer.from(whole)
      for (let i = 0; i < 1 + random(4); i++)
        bytes[random(bytes.length)] = [0, 1, 255, 127, random(256)][random(5)]!
      try {
        const file = await readGguf(bytes)
        for (const value of file.metadata.values()) if (value instanceof GgufArray) value.toArray()
      } catch (error) {
        expect(error).toBeInstanceOf(SottoError)
      }
    }
  })

  it('__proto__ is a key like any other', async () => {
    const path = join(folder, 'proto.gguf')
    writeGguf(path, [{ key: '__proto__', type: 'string', value: 'x' } satisfies GgufEntry], [])
    expect((await readGguf(path)).metadata.get('__proto__')).toBe('x')
    writeFileSync(path, '')
  })
})
