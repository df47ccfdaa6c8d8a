import { spawn, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { quantizationTypes, readGguf, splitModel } from '../../lib/gguf/index.js'
import { compareModels, loadModel, quantizeModel } from '../../lib/index.js'
import { native } from '../../lib/native.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { expectCode } from '../helpers/expect-code.js'
import { importanceOf, writeImatrix, writeOldImatrix } from '../helpers/write-imatrix.js'

const { tiny, real } = inject('models')
let folder: string
let model: string
let out: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-quantize-'))
  model = join(folder, 'model.gguf')
  out = join(folder, 'out.gguf')
  copyFileSync(tiny, model)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** `name TYPE` of every tensor of at least two dimensions. */
async function typesOf(path: string): Promise<Record<string, string>> {
  const { tensors } = await readGguf(path)
  return Object.fromEntries(
    tensors.filter((t) => t.dimensions.length > 1).map(({ name, type }) => [name, type]),
  )
}

const matrix = async (its = tiny) =>
  writeImatrix(join(folder, 'imatrix.gguf'), importanceOf((await readGguf(its)).tensors))

describe('quantizeModel', () => {
  it.each([...quantizationTypes])('%s: the file says so, and generates', async (type, number) => {
    const wide = makeTinyModel(model, { shape: 'wide' })
    const imatrix = await matrix(wide)
    const result = await quantizeModel(wide, type, out, { imatrix, threads: 2 })
    expect(result).toEqual({ path: out, paths: [out], bytes: statSync(out).size, type })
    expect((await readGguf(out)).metadata.get('general.file_type')).toBe(number)
    await using loaded = await loadModel(out, { threads: 1 })
    const { usage } = await loaded.complete('Once', { maxTokens: 4, ignoreEos: true }).result
    expect(usage.tokensGenerated).toBe(4)
  })

  it('writes beside the model by itself, and reports every byte once', async () => {
    const seen: number[] = []
    const { path } = await quantizeModel(model, 'Q8_0', undefined, {
      onProgress: ({ bytes, totalBytes }) => seen.push(bytes / totalBytes),
    })
    expect(path).toBe(join(folder, 'model-Q8_0.gguf'))
    expect(seen.at(-1)).toBe(1)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    const again = await quantizeModel(path, 'q5_1' as 'Q5_1', undefined, { allowRequantize: true })
    expect(again.path).toBe(join(folder, 'model-Q5_1.gguf'))
  })

  it('keeps what the model says: Q8_0 finds nearly the same tokens most likely', async () => {
    const text = readFileSync('README.md', 'utf8').slice(0, 6000)
    await quantizeModel(model, 'Q8_0', out)
    const { agreement, divergence } = await compareModels(model, out, text, {
      contextSize: 128,
      threads: 1,
    })
    expect(agreement.value).toBeGreaterThan(0.9)
    expect(divergence.value).toBeGreaterThan(0)
    expect(divergence.value).toBeLessThan(0.05)
  })

  it('pure, output and embedding types do what they say', async () => {
    const untied = makeTinyModel(model, { shape: 'tiny' })
    await quantizeModel(untied, 'Q4_0', out, { pure: true, overwrite: true })
    expect(new Set(Object.values(await typesOf(out)))).toEqual(new Set(['Q4_0']))
    await quantizeModel(untied, 'Q4_0', out, { tokenEmbeddingType: 'q5_1', overwrite: true })
    expect(await typesOf(out)).toMatchObject({
      'token_embd.weight': 'Q5_1',
      'blk.0.attn_q.weight': 'Q4_0',
    })
    await quantizeModel(untied, 'Q4_0', out, { outputTensorType: 'F16', overwrite: true })
    // Tied: the embedding is the output as well.
    expect(await typesOf(out)).toMatchObject({ 'token_embd.weight': 'F16' })
  })

  it('reads an importance matrix of either kind, which changes the weights and is named in the file', async () => {
    const [plain, weighed] = [join(folder, 'plain.gguf'), join(folder, 'weighed.gguf')]
    await quantizeModel(model, 'Q4_0', plain)
    await quantizeModel(model, 'Q4_0', weighed, { imatrix: await matrix() })
    const { metadata } = await readGguf(weighed)
    expect(metadata.get('quantize.imatrix.file')).toBe('imatrix.gguf')
    expect(metadata.get('quantize.imatrix.dataset')).toBe('words.txt')
    expect(metadata.get('quantize.imatrix.chunks_count')).toBe(3)
    const data = async (path: string) =>
      readFileSync(path).subarray((await readGguf(path)).dataOffset)
    expect((await data(weighed)).equals(await data(plain))).toBe(false)
    const old = writeOldImatrix(
      join(folder, 'old.dat'),
      importanceOf((await readGguf(tiny)).tensors),
    )
    await quantizeModel(model, 'Q4_0', out, { imatrix: old })
    expect((await data(out)).equals(await data(weighed))).toBe(true)
  })

  it('shards by manifest, by first shard and by list give the tensors of the whole', async () => {
    const { manifest, paths } = await splitModel(model, { names: 'layer-%d', folder })
    const standard = await splitModel(model, { folder })
    await quantizeModel(model, 'Q8_0', out)
    const whole = await readGguf(out)
    for (const [i, source] of [manifest!, paths, standard.paths[0]!].entries()) {
      const path = join(folder, `from-shards-${i}.gguf`)
      await quantizeModel(source, 'Q8_0', path)
      const { tensors, dataOffset } = await readGguf(path)
      expect(tensors).toEqual(whole.tensors)
      expect(
        readFileSync(path)
          .subarray(dataOffset)
          .equals(readFileSync(out).subarray(whole.dataOffset)),
      ).toBe(true)
    }
  })

  it('keepSplit keeps the shards, which load together', async () => {
    const { manifest, paths } = await splitModel(model, { names: 'layer-%d', folder })
    const result = await quantizeModel(manifest!, 'Q8_0', out, { keepSplit: true })
    expect(result.paths).toEqual(
      paths.map((_, i) => join(folder, `out-0000${i + 1}-of-0000${paths.length}.gguf`)),
    )
    await using loaded = await loadModel(result.path, { threads: 1 })
    await loaded.complete('Once', { maxTokens: 2 }).result
  })
})

describe('quantizeModel leaves nothing and says why', () => {
  let before: string[]
  const files = () => readdirSync(folder).sort()
  beforeEach(() => {
    before = files()
  })
  const refuse = async (code: Parameters<typeof expectCode>[0], work: () => Promise<unknown>) => {
    const error = await expectCode(code, work)
    expect(files()).toEqual(before)
    return error
  }

  it('a type that there is not, with the one that was probably meant', async () => {
    const { message } = await refuse('ERR_OPTION_INVALID', () =>
      quantizeModel(model, 'Q4_K_X' as 'Q4_K_M'),
    )
    expect(message).toMatch(/did you mean Q4_K_[MS]\?/)
    await refuse('ERR_OPTION_INVALID', () => quantizeModel(model, 4 as never))
    await refuse('ERR_OPTION_UNKNOWN', () =>
      quantizeModel(model, 'Q4_0', out, { thread: 1 } as object),
    )
    await refuse('ERR_OPTION_INVALID', () =>
      quantizeModel(model, 'Q4_0', out, { outputTensorType: 'Q9' }),
    )
  })

  it('a file of that name, the model itself, an input that is not there', async () => {
    writeFileSync(out, 'mine')
    before = files()
    await refuse('ERR_OPTION_INVALID', () => quantizeModel(model, 'Q4_0', out))
    expect(readFileSync(out, 'utf8')).toBe('mine')
    await refuse('ERR_OPTION_INVALID', () =>
      quantizeModel(model, 'Q4_0', model, { overwrite: true }),
    )
    await refuse('ERR_MODEL_NOT_FOUND', () => quantizeModel(join(folder, 'none.gguf'), 'Q4_0', out))
    await refuse('ERR_MODEL_FORMAT', () => quantizeModel(out, 'Q4_0', join(folder, 'other.gguf')))
  })

  it('weights that are quantised already, without allowRequantize', async () => {
    await quantizeModel(model, 'Q8_0', out)
    before = files()
    const { message } = await refuse('ERR_OPTION_INVALID', () => quantizeModel(out, 'Q4_0'))
    expect(message).toMatch(/allowRequantize/)
    expect((await quantizeModel(out, 'Q8_0', join(folder, 'same.gguf'))).type).toBe('Q8_0')
  })

  it('a type that needs an importance matrix, without one', async () => {
    makeTinyModel(model, { shape: 'wide' })
    const { message } = await refuse('ERR_OPTION_INVALID', () =>
      quantizeModel(model, 'Q2_K_S', out),
    )
    expect(message).toMatch(/options\.imatrix/)
  })

  it('an importance matrix that is none, or of another model', async () => {
    const path = join(folder, 'imatrix')
    writeFileSync(path, 'none')
    before = files()
    await refuse('ERR_IMATRIX_INVALID', () => quantizeModel(model, 'Q4_0', out, { imatrix: path }))
    writeImatrix(path, { 'blk.0.attn_q.weight': new Float32Array(32).fill(1) })
    const { message } = await refuse('ERR_IMATRIX_INVALID', () =>
      quantizeModel(model, 'Q4_0', out, { imatrix: path }),
    )
    expect(message).toMatch(/blk\.0\.attn_q\.weight/)
    await refuse('ERR_MODEL_NOT_FOUND', () =>
      quantizeModel(model, 'Q4_0', out, { imatrix: `${path}x` }),
    )
  })

  it('an architecture that nobody knows', async () => {
    const bytes = readFileSync(model)
    const at = bytes.indexOf('general.architecture') + 'general.architecture'.length + 4 + 8
    bytes.write('lxama', at)
    const known = Buffer.from(bytes.toString('latin1').replaceAll('llama.', 'lxama.'), 'latin1')
    writeFileSync(model, known)
    const { message } = await refuse('ERR_MODEL_UNSUPPORTED', () =>
      quantizeModel(model, 'Q4_0', out),
    )
    expect(message).toMatch(/lxama/)
  })

  it('an abort, before and in the middle', async () => {
    await refuse('ERR_ABORTED', () =>
      quantizeModel(real, 'Q8_0', out, { signal: AbortSignal.abort() }),
    )
    const controller = new AbortController()
    await refuse('ERR_ABORTED', () =>
      quantizeModel(real, 'Q4_K_M', out, {
        allowRequantize: true,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      }),
    )
  })

  it('an exception of onProgress', async () => {
    const deliberate = new Error('deliberate')
    const work = quantizeModel(model, 'Q8_0', out, {
      onProgress: () => {
        throw deliberate
      },
    })
    await expect(work).rejects.toBe(deliberate)
    expect(files()).toEqual(before)
  })

  // The quantiser among the processes that this one has started.
  const child = () => {
    const tasks = `/proc/${process.pid}/task`
    const children = readdirSync(tasks).flatMap((task) =>
      readFileSync(`${tasks}/${task}/children`, 'utf8').trim().split(' '),
    )
    const isIt = (pid: string) =>
      pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('quantize-process')
    return Number(children.find(isIt))
  }

  it('a crash of the quantiser, which this process survives', async () => {
    const { message } = await refuse('ERR_QUANTIZE_FAILED', () =>
      quantizeModel(real, 'Q4_K_M', out, {
        allowRequantize: true,
        onProgress: () => process.kill(child(), 'SIGABRT'),
      }),
    )
    expect(message).toMatch(/SIGABRT/)
  })

  it('a full disk', () => {
    // A limit on the size of files: a write beyond it fails as on a disk without room.
    const program = `const { quantizeModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/index.js')).href)})
      await quantizeModel(${JSON.stringify(model)}, 'Q8_0', ${JSON.stringify(out)}).catch(({ code }) => console.log(code))`
    const { stdout } = spawnSync('bash', [
      '-c',
      `ulimit -f 40; exec "${process.execPath}" --input-type=module -e "$0"`,
      program,
    ])
    expect(String(stdout)).toBe('ERR_DISK\n')
    expect(files()).toEqual(before)
  })

  const program = () =>
    `const { quantizeModel } = await import(${JSON.stringify(pathToFileURL(resolve('dist/index.js')).href)})
     await quantizeModel(${JSON.stringify(real)}, 'Q4_K_M', ${JSON.stringify(out)}, { allowRequantize: true, onProgress: () => console.log('on its way') })`
  const isGone = async () => {
    while (files().length > before.length) await new Promise((wait) => setTimeout(wait, 50))
  }

  it('the end of this process, however it comes', async () => {
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program()])
    await new Promise((begun) => parent.stdout.once('data', begun))
    expect(files().length).toBe(before.length + 1)
    parent.kill('SIGKILL')
    await isGone()
  })

  it('the end of the worker it was called in', async () => {
    const worker = new Worker(
      `(async () => { ${program().replaceAll('console.log', 'require("node:worker_threads").parentPort.postMessage')} })()`,
      { eval: true },
    )
    await new Promise((begun) => worker.once('message', begun))
    await worker.terminate()
    await isGone()
  })
})

describe('native quantize', () => {
  it('refuses arguments of other types', () => {
    const quantize = native().quantize as (...args: unknown[]) => unknown
    for (const args of [[], [{}], [{}, () => {}], [{ input: 1 }, () => {}], ['x', () => {}]])
      expect(() => quantize(...args)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      )
  })
})
