import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import {
  checkModelFiles,
  mergeModel,
  readGguf,
  type SplitOptions,
  splitModel,
} from '../../../lib/gguf/index.js'
import { expectCode } from '../../helpers/expect-code.js'
import { layeredMetadata, writeLayered } from '../../helpers/layered-model.js'
import { runScript } from '../../helpers/run-script.js'

let folder: string
let model: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-split-'))
  model = writeLayered(join(folder, 'model.gguf'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const namesIn = async (paths: string[]) =>
  Promise.all(paths.map(async (path) => (await readGguf(path)).tensors.map(({ name }) => name)))
const layersIn = async (paths: string[]) =>
  (await namesIn(paths)).map((names) => [
    ...new Set(names.map((name) => /^blk\.(\d+)/.exec(name)?.[1] ?? name.split('.')[0])),
  ])

describe('splitModel', () => {
  it('makes a shard of each layer: embedding with the first, output with the last', async () => {
    const { paths, bytes, manifest } = await splitModel(model)
    expect(paths.map((path) => basename(path))).toEqual(
      [1, 2, 3, 4, 5, 6].map((i) => `model-0000${i}-of-00006.gguf`),
    )
    expect(manifest).toBeUndefined()
    expect(await layersIn(paths)).toEqual([
      ['token_embd', '0'],
      ['1'],
      ['2'],
      ['3'],
      ['4'],
      ['10', 'output_norm', 'output'],
    ])
    expect(bytes).toBe(paths.reduce((sum, path) => sum + statSync(path).size, 0))
  })

  it('writes the keys that upstream looks for, in the types that it insists on', async () => {
    const { paths } = await splitModel(model, { shards: 2 })
    for (const [i, path] of paths.entries()) {
      const { metadata, types } = await readGguf(path)
      expect(metadata.get('split.no')).toBe(i)
      expect(metadata.get('split.count')).toBe(2)
      expect(metadata.get('split.tensors.count')).toBe(15)
      expect(['no', 'count', 'tensors.count'].map((key) => types.get(`split.${key}`))).toEqual([
        'uint16',
        'uint16',
        'int32',
      ])
    }
  })

  it.each([1, 2, 3, 4, 5, 6])('cuts %i shards of about the same size', async (shards) => {
    const { paths } = await splitModel(model, { shards })
    expect(paths).toHaveLength(shards)
    const counts = (await namesIn(paths)).map(({ length }) => length)
    expect(counts.reduce((sum, count) => sum + count)).toBe(15)
    // No cut between layers makes the largest one smaller.
    expect(Math.max(...counts)).toBe([15, 8, 6, 4, 4, 4][shards - 1])
  })

  it.each([3500, 4000, 5000])('keeps each shard within maxBytes %i', async (maxBytes) => {
    const { paths } = await splitModel(model, { maxBytes })
    expect(paths.length).toBeGreaterThan(1)
    for (const path of paths) expect(statSync(path).size).toBeLessThanOrEqual(maxBytes)
    expect((await checkModelFiles(paths[0]!)).paths).toEqual(paths)
  })

  it('counts the layers of an encoder and of a decoder each for themselves', async () => {
    const names = ['enc.blk.0.a', 'enc.blk.1.a', 'enc.output_norm', 'dec.blk.0.a', 'token_embd']
    writeLayered(model, { names })
    const { paths } = await splitModel(model)
    expect(await namesIn(paths)).toEqual([
      ['token_embd', 'enc.blk.0.a'],
      ['enc.blk.1.a'],
      ['dec.blk.0.a', 'enc.output_norm'],
    ])
  })

  it('gives free names, and a manifest whose digests are those of the files', async () => {
    const out = join(folder, 'a', 'b')
    const { paths, manifest } = await splitModel(model, { names: 'layer-%02d.bin', folder: out })
    expect(readdirSync(out).sort()).toEqual([
      ...[0, 1, 2, 3, 4, 5].map((i) => `layer-0${i}.bin`),
      'model.manifest.json',
    ])
    expect(JSON.parse(readFileSync(manifest!, 'utf8'))).toEqual({
      format: 'sotto-manifest',
      version: 1,
      shards: paths.map((path) => ({
        name: basename(path),
        bytes: statSync(path).size,
        sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
      })),
    })
  })

  it('reports how far it is', async () => {
    const seen: number[] = []
    let total = 0
    await splitModel(model, {
      onProgress: ({ bytes, totalBytes }) => {
        seen.push(bytes)
        total = totalBytes
      },
    })
    expect(total).toBe(15 * 264)
    expect(seen.at(-1)).toBe(total)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  it.each<[string, SplitOptions]>([
    ['no shards', { shards: 0 }],
    ['more shards than layers', { shards: 7 }],
    ['65535 shards', { shards: 65535 }],
    ['65536 shards', { shards: 65536 }],
    ['half a shard', { shards: 1.5 }],
    ['a number of shards and a size', { shards: 2, maxBytes: 1e9 }],
    ['a size that no layer fits into', { maxBytes: 600 }],
    ['names without a number', { names: 'layer.bin' }],
    ['names in another folder', { names: '../layer-%d.bin' }],
    ['names from the root', { names: '/tmp/layer-%d.bin' }],
    ['names of another drive', { names: 'c:layer-%d.bin' }],
    ['names with NUL', { names: 'layer-%d\0.bin' }],
    ['names that are too long', { names: `%d${'x'.repeat(300)}` }],
  ])('%s: ERR_OPTION_INVALID, and nothing is written', async (_, options) => {
    const before = readdirSync(folder)
    await expectCode('ERR_OPTION_INVALID', () => splitModel(model, options))
    expect(readdirSync(folder)).toEqual(before)
  })

  it('does not overwrite', async () => {
    const there = join(folder, 'model-00003-of-00006.gguf')
    writeFileSync(there, 'mine')
    expect((await expectCode('ERR_OPTION_INVALID', () => splitModel(model))).message).toContain(
      there,
    )
    expect(readFileSync(there, 'utf8')).toBe('mine')
    await expectCode('ERR_OPTION_INVALID', () => mergeModel(model, there))
    await expectCode('ERR_OPTION_UNKNOWN', () => splitModel(model, { shard: 2 } as never))
  })
})

describe('mergeModel', () => {
  it.each<[string, SplitOptions]>([
    ['a shard a layer', {}],
    ['three shards', { shards: 3 }],
    ['one shard', { shards: 1 }],
    ['free names', { names: '%d' }],
    ['a size', { maxBytes: 4000 }],
  ])('%s: gives back the file that was split, byte for byte', async (_, options) => {
    const { paths, manifest } = await splitModel(model, options)
    const merged = join(folder, 'merged.gguf')
    expect(await mergeModel(manifest ?? paths[0]!, merged)).toEqual({
      path: merged,
      bytes: statSync(model).size,
    })
    expect(readFileSync(merged)).toEqual(readFileSync(model))
    const listed = join(folder, 'listed.gguf')
    await mergeModel(paths, listed)
    expect(readFileSync(listed)).toEqual(readFileSync(model))
  })

  it('shards of shards, and another alignment', async () => {
    writeLayered(model, { alignment: 4096 })
    const { paths } = await splitModel(model, { shards: 3 })
    const again = await splitModel(paths[0]!, { names: 's%d', folder: join(folder, 'again') })
    expect(again.paths).toHaveLength(6)
    const merged = join(folder, 'merged.gguf')
    await mergeModel(again.manifest!, merged)
    expect(readFileSync(merged)).toEqual(readFileSync(model))
  })

  it('text that is not UTF-8 survives, and so do keys that nobody knows', async () => {
    const bytes = readFileSync(model)
    bytes[bytes.indexOf('größe') + 2] = 0xff
    writeFileSync(model, bytes)
    const { paths } = await splitModel(model, { shards: 2 })
    await mergeModel(paths, join(folder, 'merged.gguf'))
    expect(readFileSync(join(folder, 'merged.gguf'))).toEqual(bytes)
  })

  it('versions 1 and 2 and big-endian files stay what they are', async () => {
    // A head of version 1 by hand: lengths and dimensions of 32 bits.
    const u32 = (value: number, big = false) => {
      const four = Buffer.alloc(4)
      if (big) four.writeUInt32BE(value)
      else four.writeUInt32LE(value)
      return four
    }
    const text = (value: string) => Buffer.concat([u32(value.length), Buffer.from(value)])
    const tensor = (name: string, offset: number) =>
      Buffer.concat([text(name), u32(1), u32(8), u32(0), u32(offset), u32(0)])
    const head = Buffer.concat([
      ...[Buffer.from('GGUF'), u32(1), u32(2), u32(1)],
      ...[text('general.name'), u32(8), text('one')],
      ...[tensor('blk.0.a', 0), tensor('blk.1.a', 32)],
    ])
    const data = Buffer.concat([Buffer.alloc(32, 1), Buffer.alloc(32, 2)])
    const one = Buffer.concat([head, Buffer.alloc(32 - (head.length % 32)), data])
    const two = readFileSync(model)
    two.writeUInt32LE(2, 4)
    const big = Buffer.concat([
      ...[Buffer.from('GGUF'), u32(3, true), u32(0), u32(1, true), u32(0), u32(0)],
      ...[u32(0), u32(7, true), Buffer.from('blk.0.a'), u32(1, true), u32(0), u32(8, true)],
      ...[u32(0), u32(0), u32(0)],
    ])
    const bigFile = Buffer.concat([big, Buffer.alloc(64 - big.length), Buffer.alloc(32, 7)])
    for (const [name, bytes] of Object.entries({ one, two, bigFile })) {
      const path = join(folder, `${name}.gguf`)
      writeFileSync(path, bytes)
      const { paths } = await splitModel(path)
      const merged = join(folder, `${name}-merged.gguf`)
      await mergeModel(paths, merged)
      expect(readFileSync(merged).equals(bytes), name).toBe(true)
    }
  })

  it('the real model comes back byte for byte', async () => {
    const { paths, bytes } = await splitModel(inject('models').real, { folder, shards: 30 })
    expect(paths).toHaveLength(30)
    expect(bytes).toBeGreaterThan(98e6)
    const merged = join(folder, 'merged.gguf')
    await mergeModel(paths[0]!, merged)
    expect(readFileSync(merged).equals(readFileSync(inject('models').real))).toBe(true)
  })

  it("shards of upstream's own tool, which say less, are merged in their order", async () => {
    const { paths } = await splitModel(model, { shards: 2 })
    const { tensors } = await readGguf(paths[0]!)
    const split = (no: number, more = layeredMetadata.slice(0, 0)) => [
      ...more,
      { key: 'split.no', type: 'uint16' as const, value: no },
      { key: 'split.count', type: 'uint16' as const, value: 2 },
      { key: 'split.tensors.count', type: 'int32' as const, value: tensors.length + 1 },
    ]
    const foreign = ['x-00001-of-00002.gguf', 'x-00002-of-00002.gguf'].map((name) =>
      join(folder, name),
    )
    writeLayered(foreign[0]!, {
      metadata: split(0, layeredMetadata),
      names: tensors.map(({ name }) => name),
    })
    writeLayered(foreign[1]!, { metadata: split(1), names: ['last'] })
    const merged = join(folder, 'merged.gguf')
    await mergeModel(foreign[0]!, merged)
    const file = await readGguf(merged)
    expect([...file.metadata.keys()]).toEqual(layeredMetadata.map(({ key }) => key))
    expect(file.tensors.map(({ name }) => name)).toEqual([
      ...tensors.map(({ name }) => name),
      'last',
    ])
  })
})

describe('failures leave nothing', () => {
  const leftovers = () => readdirSync(folder).filter((name) => name !== 'model.gguf')

  it('an abort in the middle is ERR_ABORTED', async () => {
    const controller = new AbortController()
    await expectCode('ERR_ABORTED', () =>
      splitModel(model, {
        names: '%d',
        signal: controller.signal,
        onProgress: ({ bytes, totalBytes }) => bytes > totalBytes / 2 && controller.abort(),
      }),
    )
    expect(leftovers()).toEqual([])
    await expectCode('ERR_ABORTED', () =>
      mergeModel(model, join(folder, 'x'), { signal: AbortSignal.abort() }),
    )
    expect(leftovers()).toEqual([])
  })

  it('what onProgress throws ends it', async () => {
    const thrown = new Error('enough')
    const onProgress = () => {
      throw thrown
    }
    await expect(splitModel(model, { onProgress })).rejects.toBe(thrown)
    expect(leftovers()).toEqual([])
  })

  it('a model that gets shorter while it is copied is ERR_MODEL_FORMAT', async () => {
    writeLayered(model, { columns: 2 ** 20 })
    await expectCode('ERR_MODEL_FORMAT', () =>
      splitModel(model, { onProgress: ({ bytes }) => bytes > 0 && truncateSync(model, 3e6) }),
    )
    expect(leftovers()).toEqual([])
  })

  // A limit on the size of files fails a write in its middle, as a disk does that fills up.
  it.skipIf(process.platform === 'win32')('a disk that fills up is ERR_DISK', async () => {
    writeLayered(model, { columns: 30_000 })
    const out = join(folder, 'out')
    const script = `process.on('SIGXFSZ', () => {})
const { splitModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/gguf/index.js')).href)})
await splitModel(${JSON.stringify(model)}, { folder: ${JSON.stringify(out)}, shards: 2 }).catch((error) => console.log(error.code))`
    const stdout = await new Promise<string>((done, fail) =>
      execFile(
        'sh',
        ['-c', 'ulimit -f 900; exec "$0" --input-type=module -e "$1"', process.execPath, script],
        (error, out, stderr) => (error ? fail(new Error(stderr)) : done(out)),
      ),
    )
    expect(stdout).toBe('ERR_DISK\n')
    expect(readdirSync(out)).toEqual([])
  })

  it('more than the disk has is ERR_DISK at once', async () => {
    // A sparse file of 60 TB.
    const path = join(folder, 'large.gguf')
    writeLayered(path)
    const bytes = readFileSync(path)
    const at = bytes.indexOf('token_embd.weight') + 'token_embd.weight'.length + 4
    const { dataOffset } = await readGguf(bytes)
    bytes.writeBigUInt64LE(2n ** 42n, at)
    const last = bytes.indexOf('token_embd.weight') + 'token_embd.weight'.length + 24
    bytes.writeBigUInt64LE(2n ** 40n, last)
    writeFileSync(path, bytes)
    try {
      truncateSync(path, dataOffset + 2 ** 40 + 2 ** 45)
    } catch {
      return // a file system that has no such files
    }
    const error = await expectCode('ERR_DISK', () => splitModel(path))
    expect(error.message).toMatch(/free bytes/)
    expect(leftovers()).toEqual(['large.gguf'])
  })

  it('a folder that cannot be made, or be written to, is ERR_DISK', async () => {
    await expectCode('ERR_DISK', () => splitModel(model, { folder: join(model, 'x') }))
    await expectCode('ERR_DISK', () => mergeModel(model, join(model, 'x')))
    if (process.getuid?.() === 0) return
    const closed = join(folder, 'closed')
    mkdirSync(closed, { mode: 0o500 })
    await expectCode('ERR_DISK', () => splitModel(model, { folder: closed }))
    chmodSync(closed, 0o700)
    expect(existsSync(closed)).toBe(true)
  })

  it('a name that was taken meanwhile fails the whole of it', async () => {
    const onProgress = ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) => {
      const path = join(folder, 'model-00002-of-00002.gguf')
      if (bytes === totalBytes) mkdirSync(join(path, 'x'), { recursive: true })
    }
    await expectCode('ERR_DISK', () => splitModel(model, { shards: 2, onProgress }))
    expect(leftovers()).toEqual(['model-00002-of-00002.gguf'])
  })
})

it('memory does not grow with the model', async () => {
  writeLayered(model, { columns: 4_000_000 }) // 480 MB
  const { stdout } = await runScript(`
const { splitModel, mergeModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/gguf/index.js')).href)})
let most = 0
const onProgress = () => { most = Math.max(most, process.memoryUsage.rss()) }
const before = process.memoryUsage.rss()
const { manifest } = await splitModel(${JSON.stringify(model)}, { names: '%d', onProgress })
await mergeModel(manifest, ${JSON.stringify(join(folder, 'merged.gguf'))}, { onProgress })
console.log(most - before < 50e6 || most - before)`)
  expect(stdout).toBe('true\n')
})
