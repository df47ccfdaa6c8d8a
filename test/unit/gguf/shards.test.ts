import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ErrorCode, SottoError } from '../../../lib/errors.js'
import {
  checkModelFiles,
  estimateMemory,
  type GgufEntry,
  readManifest,
  splitModel,
} from '../../../lib/gguf/index.js'
import { expectCode } from '../../helpers/expect-code.js'
import { layeredMetadata, layeredNames, writeLayered } from '../../helpers/layered-model.js'

let folder: string
let shards: string[]
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-shards-'))
  shards = (await splitModel(writeLayered(join(folder, 'model.gguf')), { shards: 3 })).paths
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A shard by hand; what `keys` leaves out it does not have. */
function handmade(
  name: string,
  keys: Partial<Record<'no' | 'count' | 'tensors', number>>,
  names: string[],
  { metadata = [] as GgufEntry[], type = 'uint16' as GgufEntry['type'] } = {},
): string {
  const { no, count, tensors } = keys
  return writeLayered(join(folder, name), {
    names,
    metadata: [
      ...metadata,
      ...(no === undefined ? [] : [{ key: 'split.no', type, value: no }]),
      ...(count === undefined ? [] : [{ key: 'split.count', type, value: count }]),
      ...(tensors === undefined
        ? []
        : [{ key: 'split.tensors.count', type: 'int32' as const, value: tensors }]),
    ],
  })
}
const pair = (first: object, second: object, names = ['b'], options = {}) => [
  handmade('a', { no: 0, count: 2, tensors: 2, ...first }, ['a'], {
    metadata: layeredMetadata,
    ...options,
  }),
  handmade('b', { no: 1, count: 2, ...second }, names, options),
]

function without(index: number): string {
  unlinkSync(shards[index]!)
  return shards[0]!
}

describe('the files of a model', () => {
  it('are the same by first shard, by list and by manifest, and so is the whole', async () => {
    const one = await checkModelFiles(join(folder, 'model.gguf'))
    const byFirst = await checkModelFiles(shards[0]!)
    expect(byFirst.paths).toEqual(shards)
    expect(byFirst.whole.tensors.map(({ name }) => name)).toEqual(layeredNames)
    expect(byFirst.whole.tensors.map(({ bytes }) => bytes)).toEqual(
      one.whole.tensors.map(({ bytes }) => bytes),
    )
    expect(estimateMemory(byFirst.whole)).toEqual(estimateMemory(one.whole))
    expect(byFirst.whole.fileBytes).toBe(shards.reduce((sum, path) => sum + statSync(path).size, 0))
    expect(await checkModelFiles(shards)).toEqual(byFirst)
    const free = await splitModel(shards, { names: '%d.bin', shards: 3 })
    const byManifest = await checkModelFiles(free.manifest!)
    expect(byManifest.paths).toEqual(free.paths)
    expect(byManifest.whole).toEqual(byFirst.whole)
  })

  it('a first shard may have no tensors, as with --no-tensor-first-split of upstream', async () => {
    const first = handmade('a', { no: 0, count: 2, tensors: 1 }, [], { metadata: layeredMetadata })
    const { whole } = await checkModelFiles([first, handmade('b', { no: 1, count: 2 }, ['b'])])
    expect(whole.tensors.map(({ name }) => name)).toEqual(['b'])
  })

  it('a shard may be a link to where a cache keeps it', async () => {
    renameSync(shards[1]!, join(folder, 'blob'))
    symlinkSync('blob', shards[1]!)
    expect((await checkModelFiles(shards[0]!)).paths).toEqual(shards)
  })

  it('count 0 and 1 are one file', async () => {
    for (const count of [0, 1]) {
      const path = handmade('a', { no: 0, count }, ['a'], { metadata: layeredMetadata })
      expect((await checkModelFiles(path)).paths).toEqual([path])
    }
  })
})

describe('(15) shards that are not one model', () => {
  it.each<[string, ErrorCode, () => string | string[]]>([
    ['a missing one', 'ERR_MODEL_NOT_FOUND', () => without(1)],
    ['the last one missing', 'ERR_MODEL_NOT_FOUND', () => without(2)],
    ['a missing one of a list', 'ERR_MODEL_FORMAT', () => [shards[0]!, shards[2]!]],
    ['the last one missing of a list', 'ERR_MODEL_FORMAT', () => shards.slice(0, 2)],
    ['one too many', 'ERR_MODEL_FORMAT', () => [...shards, shards[2]!]],
    ['swapped ones', 'ERR_MODEL_FORMAT', () => [shards[0]!, shards[2]!, shards[1]!]],
    ['the first one not first', 'ERR_MODEL_FORMAT', () => [shards[1]!, shards[0]!, shards[2]!]],
    ['one twice', 'ERR_MODEL_FORMAT', () => [shards[0]!, shards[1]!, shards[1]!]],
    ['not the first one named', 'ERR_MODEL_FORMAT', () => shards[1]!],
    ['an empty list', 'ERR_OPTION_INVALID', () => []],
    ['a name in a list', 'ERR_MODEL_NOT_FOUND', () => ['smollm2-135m-instruct']],
    [
      'a model in one file beside them',
      'ERR_MODEL_FORMAT',
      () => [join(folder, 'model.gguf'), shards[1]!, shards[2]!],
    ],
    [
      'names exchanged on the disk',
      'ERR_MODEL_FORMAT',
      () => {
        renameSync(shards[1]!, join(folder, 'x'))
        renameSync(shards[2]!, shards[1]!)
        renameSync(join(folder, 'x'), shards[2]!)
        return shards[0]!
      },
    ],
    [
      'one cut short',
      'ERR_MODEL_FORMAT',
      () => {
        truncateSync(shards[2]!, statSync(shards[2]!).size - 100)
        return shards[0]!
      },
    ],
    [
      'an empty one',
      'ERR_MODEL_FORMAT',
      () => {
        truncateSync(shards[1]!, 0)
        return shards[0]!
      },
    ],
    [
      'a first one under a name that does not count',
      'ERR_MODEL_FORMAT',
      () => {
        copyFileSync(shards[0]!, join(folder, 'first.gguf'))
        return join(folder, 'first.gguf')
      },
    ],
    [
      'a name that counts otherwise',
      'ERR_MODEL_FORMAT',
      () => {
        copyFileSync(shards[0]!, join(folder, 'model-00001-of-00004.gguf'))
        return join(folder, 'model-00001-of-00004.gguf')
      },
    ],
    [
      'a folder in place of one',
      'ERR_MODEL_UNREADABLE',
      () => {
        unlinkSync(shards[1]!)
        mkdirSync(shards[1]!)
        return shards[0]!
      },
    ],
    [
      'a FIFO in place of one',
      'ERR_MODEL_UNREADABLE',
      () => {
        unlinkSync(shards[1]!)
        execFileSync('mkfifo', [shards[1]!])
        return shards[0]!
      },
    ],
    ['a tensor twice', 'ERR_MODEL_FORMAT', () => pair({}, {}, ['a'])],
    ['fewer tensors than they say', 'ERR_MODEL_FORMAT', () => pair({ tensors: 3 }, {})],
    ['more tensors than they say', 'ERR_MODEL_FORMAT', () => pair({ tensors: 1 }, {})],
    ['no number of tensors', 'ERR_MODEL_FORMAT', () => pair({ tensors: undefined }, {})],
    ['two numbers of tensors', 'ERR_MODEL_FORMAT', () => pair({}, { tensors: 5 })],
    ['one without a number', 'ERR_MODEL_FORMAT', () => pair({}, { no: undefined })],
    ['one of three among two', 'ERR_MODEL_FORMAT', () => pair({}, { count: 3 })],
    [
      'numbers of another type, over which upstream ends the process',
      'ERR_MODEL_FORMAT',
      () => pair({}, {}, ['b'], { type: 'uint32' }),
    ],
    [
      'no tensors at all',
      'ERR_MODEL_FORMAT',
      () => [
        handmade('a', { no: 0, count: 2, tensors: 0 }, [], { metadata: layeredMetadata }),
        handmade('b', { no: 1, count: 2 }, []),
      ],
    ],
    [
      '65535 of them, and one on the disk',
      'ERR_MODEL_NOT_FOUND',
      () => {
        const name = 'many-00001-of-65535.gguf'
        return handmade(name, { no: 0, count: 65535, tensors: 1 }, ['a'], {
          metadata: layeredMetadata,
        })
      },
    ],
  ])('%s', async (_, code, source) => {
    await expectCode(code, () => checkModelFiles(source()))
  })

  it('one of another model of the same shape', async () => {
    const other = join(folder, 'other', 'model.gguf')
    mkdirSync(join(folder, 'other'))
    const metadata = layeredMetadata.map((entry) =>
      entry.key === 'general.name' ? { ...entry, value: 'another' } : entry,
    )
    const { paths } = await splitModel(writeLayered(other, { metadata }), { shards: 3 })
    copyFileSync(paths[1]!, shards[1]!)
    const error = await expectCode('ERR_MODEL_FORMAT', () => checkModelFiles(shards[0]!))
    expect(error.message).toMatch(/another model/)
  })

  it('one of another architecture', async () => {
    const metadata = [{ key: 'general.architecture', type: 'string' as const, value: 'bert' }]
    const [first] = pair({}, {})
    const second = handmade('b', { no: 1, count: 2 }, ['b'], { metadata })
    await expectCode('ERR_MODEL_FORMAT', () => checkModelFiles([first!, second]))
  })

  it('an order that no splitter writes', async () => {
    for (const order of [[0], [0, 0], [0, 5], [0, 1, 2]]) {
      const metadata: GgufEntry[] = [
        ...layeredMetadata,
        { key: 'split.tensors.order', type: 'uint32', value: order },
      ]
      const first = handmade('a', { no: 0, count: 2, tensors: 2 }, ['a'], { metadata })
      const second = handmade('b', { no: 1, count: 2 }, ['b'])
      await expectCode('ERR_MODEL_FORMAT', () => checkModelFiles([first, second]))
    }
  })

  it('throws nothing but SottoError over 1,000 mutations', async () => {
    let state = 1
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const whole = shards.map((path) => readFileSync(path))
    for (let round = 0; round < 1000; round++) {
      const shard = random(3)
      const bytes = Buffer.from(whole[shard]!)
      bytes[random(1200)] = [0, 1, 255, 127, random(256)][random(5)]!
      writeFileSync(shards[shard]!, bytes)
      try {
        await checkModelFiles(shards[0]!)
      } catch (error) {
        expect(error).toBeInstanceOf(SottoError)
      }
      writeFileSync(shards[shard]!, whole[shard]!)
    }
  })
})

describe('manifests', () => {
  let path: string
  let entries: { name: unknown; bytes: unknown; sha256: unknown }[]
  beforeEach(async () => {
    const inside = join(folder, 'free')
    path = (await splitModel(shards, { names: '%d.bin', folder: inside, shards: 3 })).manifest!
    entries = (await readManifest(path)).shards
  })
  const write = (value: unknown) =>
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value))
  const withShards = (change: (list: typeof entries) => unknown) => {
    const list = structuredClone(entries)
    const changed = change(list)
    write({ format: 'sotto-manifest', version: 1, shards: Array.isArray(changed) ? changed : list })
  }
  const named = (name: unknown) =>
    withShards((list) => {
      list[1]!.name = name
    })

  it('may be called anything, and may say more than we read', async () => {
    const renamed = join(folder, 'free', 'layers')
    writeFileSync(
      renamed,
      `\ufeff \n${JSON.stringify({ comment: 'x', format: 'sotto-manifest', version: 1, shards: entries })}`,
    )
    expect((await checkModelFiles(renamed)).paths).toHaveLength(3)
  })

  it('may name one file, which is a whole model', async () => {
    copyFileSync(join(folder, 'model.gguf'), join(folder, 'free', 'model.gguf'))
    const { size } = statSync(join(folder, 'model.gguf'))
    withShards(() => [{ name: 'model.gguf', bytes: size, sha256: '0'.repeat(64) }])
    expect((await checkModelFiles(path)).whole.tensors).toHaveLength(15)
  })

  it('a link to a file in the same folder is one of its files', async () => {
    symlinkSync('1.bin', join(folder, 'free', 'link.bin'))
    named('link.bin')
    expect((await checkModelFiles(path)).paths.map((file) => basename(file))).toEqual([
      '0.bin',
      '1.bin',
      '2.bin',
    ])
  })

  it.each<[string, () => void]>([
    ['not JSON', () => write('{ "format": ')],
    ['null', () => write('null')],
    ['a list', () => write([])],
    ['nothing', () => write('')],
    ['another format', () => write({ format: 'x', version: 1, shards: entries })],
    ['version 0', () => write({ format: 'sotto-manifest', version: 0, shards: entries })],
    [
      '(16) a version of the future',
      () => write({ format: 'sotto-manifest', version: 2, shards: entries }),
    ],
    ['no shards', () => withShards(() => [])],
    ['65536 shards', () => withShards((list) => Array(65536).fill(list[0]))],
    ['shards that are none', () => withShards(() => [null, 5, 'x'])],
    ['17 MB', () => write(`{"x":"${'x'.repeat(17e6)}"}`)],
    ['a list in a list, a million deep', () => write(`{"shards":${'['.repeat(1e6)}`)],
    ['a name in the folder above', () => named('../1.bin')],
    ['a name that leaves and comes back', () => named('../free/1.bin')],
    ['a name from the root', () => named(join(folder, 'free', '1.bin'))],
    ['a name of a folder below', () => named('x/1.bin')],
    ['a name of Windows', () => named('..\\1.bin')],
    ['a name of a drive', () => named('C:1.bin')],
    ['..', () => named('..')],
    ['.', () => named('.')],
    ['a name with NUL', () => named('1.bin\0')],
    ['an empty name', () => named('')],
    ['a name that is none', () => named(1)],
    ['a name twice', () => named('0.bin')],
    [
      'a link that leaves the folder',
      () => {
        symlinkSync(shards[1]!, join(folder, 'free', 'out.bin'))
        named('out.bin')
      },
    ],
    [
      'a link to a link that leaves the folder',
      () => {
        symlinkSync('out.bin', join(folder, 'free', 'in.bin'))
        symlinkSync(shards[1]!, join(folder, 'free', 'out.bin'))
        named('in.bin')
      },
    ],
    [
      'a size that is not the file’s',
      () =>
        withShards((list) => {
          list[2]!.bytes = (list[2]!.bytes as number) + 1
        }),
    ],
    [
      'a size of -1',
      () =>
        withShards((list) => {
          list[2]!.bytes = -1
        }),
    ],
    [
      'a digest that is none',
      () =>
        withShards((list) => {
          list[0]!.sha256 = 'abc'
        }),
    ],
    ['a file that was cut', () => truncateSync(join(folder, 'free', '2.bin'), 100)],
  ])('%s: ERR_MANIFEST_INVALID', async (_, damage) => {
    damage()
    await expectCode('ERR_MANIFEST_INVALID', () => checkModelFiles(path))
  })

  it.each<[string, ErrorCode, () => void]>([
    ['a file that is not there', 'ERR_MODEL_NOT_FOUND', () => named('3.bin')],
    [
      'a link to nothing',
      'ERR_MODEL_NOT_FOUND',
      () => {
        symlinkSync('nothing', join(folder, 'free', 'x'))
        named('x')
      },
    ],
    [
      'a link to a device',
      'ERR_MODEL_UNREADABLE',
      () => {
        symlinkSync('/dev/zero', join(folder, 'free', 'x'))
        named('x')
      },
    ],
    ['itself', 'ERR_MANIFEST_INVALID', () => named(basename(path))],
    [
      'a folder',
      'ERR_MODEL_UNREADABLE',
      () => {
        rmSync(path)
        mkdirSync(path)
      },
    ],
    ['files in another order', 'ERR_MODEL_FORMAT', () => withShards((list) => list.reverse())],
    ['a file too few', 'ERR_MODEL_FORMAT', () => withShards((list) => list.slice(0, 2))],
  ])('%s: %s', async (_, code, damage) => {
    damage()
    await expectCode(code, () => checkModelFiles(path))
  })

  it('throws nothing but SottoError over 1,000 mutations', async () => {
    const text = readFileSync(path)
    let state = 1
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    for (let round = 0; round < 1000; round++) {
      const bytes = Buffer.from(text)
      for (let i = 0; i < 1 + random(3); i++)
        bytes[random(bytes.length)] = '"{}[],:/.\\0'.charCodeAt(random(11))
      writeFileSync(path, bytes)
      try {
        await checkModelFiles(path)
      } catch (error) {
        expect(error).toBeInstanceOf(SottoError)
      }
    }
  })
})
