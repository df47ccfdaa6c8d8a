import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type LoadOptions, loadModel } from '../../lib/load.js'
import { clearPacked, listPacked } from '../../lib/models/packed-cache.js'
import { systemInfo } from '../../lib/system.js'
import { runCli } from '../cli/run-cli.js'

const { real, tiny } = inject('models')

describe.runIf(systemInfo().cpu.kernels !== 'off')('packed weights', () => {
  let home: string
  const before = process.env['SOTTO_HOME']
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'sotto-packed-'))
    process.env['SOTTO_HOME'] = home
  })
  afterAll(() => {
    if (before === undefined) delete process.env['SOTTO_HOME']
    else process.env['SOTTO_HOME'] = before
    rmSync(home, { recursive: true, force: true })
  })

  async function answer(options: LoadOptions = {}, path = real) {
    await using model = await loadModel(path, { contextSize: 256, threads: 1, ...options })
    const stream = model.complete('The capital of France is', { maxTokens: 8, temperature: 0 })
    return { text: await stream.text(), kernels: model.info.kernels }
  }

  it('are a file from the first load on, and answers are the same', async () => {
    const inMemory = await answer({ packedCache: false })
    expect(inMemory.kernels).toMatchObject({ weights: 'memory', problem: '' })
    expect(inMemory.kernels.tensors).toContain('blk.0.attn_q.weight')
    expect(inMemory.kernels.tensors).not.toContain('blk.0.attn_norm.weight')
    expect(await listPacked()).toEqual([])

    const first = await answer()
    const [file] = await listPacked()
    expect(first.kernels.weights).toBe('file')
    expect(file!.bytes).toBeGreaterThan(50e6)
    expect(statSync(file!.path).mode & 0o77).toBe(0)
    const second = await answer()
    expect(second.kernels).toEqual(first.kernels)
    expect(existsSync(`${file!.path}.checked`)).toBe(true)
    expect(second.text).toBe(inMemory.text)
    expect(first.text).toBe(inMemory.text)
    expect(await listPacked()).toMatchObject([{ path: file!.path, bytes: file!.bytes }])
  })

  it('sotto cache lists and clears them, also beside a model that uses them', async () => {
    await using model = await loadModel(real, { contextSize: 256 })
    const env = { SOTTO_HOME: home }
    const listed = await runCli(['cache', '--json'], { env })
    expect(JSON.parse(listed.stdout).files).toHaveLength(1)
    expect((await runCli(['cache'], { env })).stdout).toMatch(
      /MB {2}used 20.*\.packed\n.*in 1 file\n$/,
    )
    expect((await runCli(['cache', 'clear'], { env })).stdout).toMatch(/in 1 file, removed\n$/)
    expect(await listPacked()).toEqual([])
    expect(await model.complete('One, two,', { maxTokens: 2, temperature: 0 }).text()).toMatch(
      /three/,
    )
  })

  it('what was used longest ago makes room; SOTTO_PACKED_CACHE says how much there is', async () => {
    await answer()
    const [file] = await listPacked()
    rmSync(file!.path)
    const older = join(home, 'packed', `${'0'.repeat(64)}.packed`)
    const newer = join(home, 'packed', `${'1'.repeat(64)}.packed`)
    for (const path of [older, newer]) writeFileSync(path, Buffer.alloc(20e6))
    utimesSync(older, new Date(0), new Date(0))
    process.env['SOTTO_PACKED_CACHE'] = String(120e6 / 2 ** 30)
    try {
      expect((await answer()).kernels.weights).toBe('file')
      expect((await listPacked()).map(({ path }) => path)).toEqual([file!.path, newer])
      process.env['SOTTO_PACKED_CACHE'] = '0'
      expect((await answer()).kernels.weights).toBe('memory')
    } finally {
      delete process.env['SOTTO_PACKED_CACHE']
    }
    await clearPacked()
    expect(readdirSync(join(home, 'packed'))).toEqual([])
  })

  it('says why they stay in memory', async () => {
    const nowhere = join(home, 'a-file')
    writeFileSync(nowhere, '')
    process.env['SOTTO_HOME'] = nowhere
    try {
      const { kernels } = await answer()
      expect(kernels).toMatchObject({ weights: 'memory' })
      expect(kernels.problem).toMatch(/ENOTDIR/)
    } finally {
      process.env['SOTTO_HOME'] = home
    }
    process.env['SOTTO_PACKED_CACHE'] = '0.01'
    try {
      expect((await answer()).kernels.problem).toMatch(/more than SOTTO_PACKED_CACHE allows/)
    } finally {
      delete process.env['SOTTO_PACKED_CACHE']
    }
  })

  it('a draft model has a file of its own', async () => {
    const copy = join(home, 'copy.gguf')
    copyFileSync(real, copy)
    await answer({ draft: copy })
    const files = (await listPacked()).map(({ path }) => path)
    expect(files).toHaveLength(2)
    await answer({ draft: copy })
    expect((await listPacked()).map(({ path }) => path).sort()).toEqual(files.sort())
    await clearPacked()
  })

  it('small models are packed faster than a file is found', async () => {
    expect((await answer({}, tiny)).kernels.weights).not.toBe('file')
    expect(await listPacked()).toEqual([])
  })

  it("kernels: 'upstream' computes with ggml's own", async () => {
    const ours = await answer({ packedCache: false })
    const upstream = await answer({ kernels: 'upstream' })
    expect(upstream.kernels).toEqual({ name: 'off', weights: '', problem: '', tensors: [] })
    // Another order of the same sums: what is all but equally likely may differ further on.
    for (const { text } of [upstream, ours]) expect(text).toContain('Paris')
    expect(await listPacked()).toEqual([])
  })
})
