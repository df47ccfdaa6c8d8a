import { copyFileSync, readFileSync, truncateSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { compareModels, loadModel, type Model, measurePerplexity } from '../../lib/index.js'
import { native } from '../../lib/native.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'
import { expectCode } from '../helpers/expect-code.js'
import { runScript } from '../helpers/run-script.js'

const { tiny, bert, real } = inject('models')
const text = readFileSync('README.md', 'utf8').slice(0, 8000)
let model: Model
beforeAll(async () => {
  model = await loadModel(tiny, { threads: 1 })
})
afterAll(() => model.close())

/** Log-probability of each token of a window's second half, by way of answers: the token is forced, what is reported is not changed by that. */
async function lossesOf(window: number[]): Promise<number[]> {
  const losses: number[] = []
  for (let i = window.length / 2; i + 1 < window.length; i++) {
    const { logprobs } = await model.complete(window.slice(0, i + 1), {
      maxTokens: 1,
      ignoreEos: true,
      temperature: 0,
      logprobs: 0,
      logitBias: { [window[i + 1]!]: 1e4 },
    }).result
    expect(logprobs![0]!.token).toBe(window[i + 1])
    losses.push(-logprobs![0]!.logprob)
  }
  return losses
}

describe('measurePerplexity', () => {
  it('is what the documentation says, computed token by token from answers', async () => {
    const contextSize = 32
    const measured = await measurePerplexity(model, text, { contextSize, chunks: 3 })
    const tokens = [...(await model.tokenize(text, { addSpecial: true }))]
    const losses: number[] = []
    for (let chunk = 0; chunk < 3; chunk++)
      losses.push(...(await lossesOf(tokens.slice(chunk * contextSize, (chunk + 1) * contextSize))))
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length
    const variance = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / losses.length
    expect(measured).toMatchObject({ tokens: tokens.length, scored: 45, chunks: 3, contextSize })
    expect(measured.perplexity / Math.exp(mean)).toBeCloseTo(1, 4)
    const error = Math.exp(mean) * Math.sqrt(variance / (losses.length - 1))
    expect(measured.error / error).toBeCloseTo(1, 3)
  })

  it('is the same for a path, for a loaded model, for other threads, and again', async () => {
    const options = { contextSize: 64, threads: 1 }
    const one = await measurePerplexity(model, text, options)
    expect(await measurePerplexity(tiny, text, options)).toEqual(one)
    expect(await measurePerplexity(model, text, { ...options, threads: 2 })).toEqual(one)
  })

  it('leaves streams that run beside it what they are', async () => {
    const ask = () =>
      model.complete('Once upon a time', { maxTokens: 40, temperature: 0, ignoreEos: true }).text()
    const alone = await ask()
    const beside = measurePerplexity(model, text, { contextSize: 64 })
    expect(await ask()).toBe(alone)
    await beside
    expect(await ask()).toBe(alone)
  })

  it('reports a load and then windows', async () => {
    const seen: string[] = []
    let last = 0
    await measurePerplexity(tiny, text, {
      contextSize: 64,
      onProgress: ({ phase, fraction }) => {
        if (seen.at(-1) !== phase) seen.push(phase)
        last = fraction
      },
    })
    expect(seen).toEqual(['loading', 'measuring'])
    expect(last).toBe(1)
  })
})

describe('compareModels', () => {
  it('of a model and itself finds no difference', async () => {
    const same = await compareModels(model, tiny, text, { contextSize: 64 })
    expect(same.second).toEqual(same.first)
    expect(same.ratio).toEqual({ value: 1, error: 0 })
    expect(same.agreement).toEqual({ value: 1, error: 0 })
    expect(Math.abs(same.divergence.value)).toBeLessThan(1e-6)
    expect(same.divergenceMost).toBeLessThan(1e-5)
  })

  it('of two models gives the perplexity of each, and their ratio', async () => {
    await using other = await loadModel(makeTinyModel(`${tiny}.other`, { seed: 7 }), { threads: 1 })
    const options = { contextSize: 64, threads: 1 }
    const [first, second] = [
      await measurePerplexity(model, text, options),
      await measurePerplexity(other, text, options),
    ]
    const found = await compareModels(model, other, text, options)
    expect(found.first.value).toBeCloseTo(first.perplexity, 6)
    expect(found.second.value).toBeCloseTo(second.perplexity, 6)
    expect(found.second.error).toBeCloseTo(second.error, 6)
    expect(found.ratio.value).toBeCloseTo(second.perplexity / first.perplexity, 6)
    expect(found.agreement.value).toBeLessThan(0.5)
    // Of distributions that have nothing to do with each other.
    expect(found.divergence.value).toBeGreaterThan(0.5)
    expect(found.divergence99).toBeGreaterThan(found.divergence.value)
    expect(found.divergenceMost).toBeGreaterThanOrEqual(found.divergence99)
  })
})

describe('what cannot be measured', () => {
  it('a text of fewer than two windows, or none', async () => {
    const { message } = await expectCode('ERR_TEXT_TOO_SHORT', () =>
      measurePerplexity(model, 'Once upon a time'),
    )
    expect(message).toMatch(/1024 tokens/)
    await expectCode('ERR_TEXT_TOO_SHORT', () => measurePerplexity(model, ''))
    await expectCode('ERR_PROMPT_INVALID', () => measurePerplexity(model, '\ud800'))
    await expectCode('ERR_PROMPT_INVALID', () => measurePerplexity(model, 7 as never))
  })

  it('a model that does not generate', () =>
    expectCode('ERR_MODEL_UNSUPPORTED', () =>
      measurePerplexity(bert, 'word '.repeat(200), { contextSize: 16 }),
    ))

  it('two vocabularies', async () => {
    const { message } = await expectCode('ERR_VOCABULARY_MISMATCH', () =>
      compareModels(model, real, text),
    )
    expect(message).toMatch(/512 tokens.*49152/)
  })

  it('with options of another type, or none that there are', async () => {
    for (const options of [{ contextSize: 7 }, { chunks: 0 }, { threads: 0 }, { signal: 1 }])
      await expectCode('ERR_OPTION_INVALID', () =>
        measurePerplexity(model, text, options as object),
      )
    await expectCode('ERR_OPTION_UNKNOWN', () =>
      measurePerplexity(model, text, { chunk: 1 } as object),
    )
    await expectCode('ERR_OPTION_INVALID', () => measurePerplexity(7 as never, text))
    await expectCode('ERR_MODEL_NOT_FOUND', () => measurePerplexity('/none.gguf', text))
  })

  it('native evaluate refuses arguments of other types', () => {
    const evaluate = native().evaluate as (...args: unknown[]) => unknown
    const refused = expect.objectContaining({ code: 'ERR_OPTION_INVALID' })
    for (const args of [[], [{}], [7, undefined, 'x'], [Object.create(null)]])
      expect(() => evaluate(...args)).toThrow(refused)
  })
})

it('a model that nobody holds but the measurement lives until it ends', async () => {
  const dist = (file: string) => JSON.stringify(new URL(`../../dist/${file}`, import.meta.url).href)
  const outcome = await runScript(
    `const { native } = await import(${dist('native.js')})
     const { nativeOf } = await import(${dist('model.js')})
     const threads = { generation: 1, prompt: 1, affinity: [], priority: 0, poll: 50 }
     const begin = async () => {
       const model = await sotto.loadModel(${JSON.stringify(tiny)}, { threads: 1 })
       const options = { contextSize: 64, chunks: 0, threads }
       const flag = new (native().AbortFlag)()
       return native().evaluate(nativeOf(model), undefined, ${JSON.stringify(text)}.repeat(4), options, undefined, flag)
     }
     const work = begin()
     const collecting = setInterval(() => gc(), 5)
     const { perplexity } = await work
     clearInterval(collecting)
     console.log(perplexity.value > 1)`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toMatchObject({ code: 0, stdout: 'true\n' })
})

describe('a measurement ends early', () => {
  const long = text.repeat(30)

  it('by its signal, before and in the middle, with ERR_ABORTED', async () => {
    await expectCode('ERR_ABORTED', () =>
      measurePerplexity(model, long, { signal: AbortSignal.abort() }),
    )
    const controller = new AbortController()
    await expectCode('ERR_ABORTED', () =>
      measurePerplexity(model, long, {
        contextSize: 64,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      }),
    )
    expect(await model.complete('Once', { maxTokens: 1 }).text()).toBeTypeOf('string')
  })

  it('by an exception of onProgress', async () => {
    const deliberate = new Error('deliberate')
    const work = measurePerplexity(model, long, {
      contextSize: 64,
      onProgress: () => {
        throw deliberate
      },
    })
    await expect(work).rejects.toBe(deliberate)
  })

  it('by close(), with ERR_MODEL_CLOSED, and close() waits for it', async () => {
    const own = await loadModel(tiny, { threads: 1 })
    let ended = false
    const work = expectCode('ERR_MODEL_CLOSED', () =>
      measurePerplexity(own, long, { contextSize: 64 }).finally(() => {
        ended = true
      }),
    )
    await new Promise((wait) => setTimeout(wait, 50))
    await own.close()
    await work
    expect(ended).toBe(true)
    await expectCode('ERR_MODEL_CLOSED', () => measurePerplexity(own, text))
    await expectCode('ERR_MODEL_CLOSED', () => compareModels(model, own, text))
  })

  it('by a file that is cut while it is mapped, with ERR_MODEL_CHANGED', async () => {
    const path = `${tiny}.cut`
    copyFileSync(tiny, path)
    await using own = await loadModel(path, { threads: 1, kernels: 'upstream' })
    const error = await expectCode('ERR_MODEL_CHANGED', () =>
      measurePerplexity(own, long, {
        contextSize: 64,
        onProgress: () => truncateSync(path, 4096),
      }),
    )
    expect(error.message).toContain(path)
  })

  it.each(['process.exit(7)', "setImmediate(() => { throw new Error('deliberate') })"])(
    'by %s in the middle of it',
    async (end) => {
      const outcome = await runScript(
        `const model = await sotto.loadModel(${JSON.stringify(real)})
         sotto.measurePerplexity(model, ${JSON.stringify(text)}.repeat(20)).catch(() => {})
         setTimeout(() => { ${end} }, 300)`,
      )
      expect(outcome).toMatchObject({ code: end.startsWith('process') ? 7 : 1, signal: null })
    },
  )

  it('by worker.terminate()', async () => {
    const entry = new URL('../../dist/index.js', import.meta.url).href
    const work = `(async () => {
      const sotto = await import(${JSON.stringify(entry)})
      const model = await sotto.loadModel(${JSON.stringify(real)})
      require('node:worker_threads').parentPort.postMessage('begins')
      await sotto.measurePerplexity(model, 'Once upon a time there was a program. '.repeat(5000))
    })()`
    const outcome = await runScript(
      `import { Worker } from 'node:worker_threads'
       const worker = new Worker(${JSON.stringify(work)}, { eval: true, execArgv: [] })
       await new Promise((begins) => worker.once('message', begins))
       await new Promise((wait) => setTimeout(wait, 200))
       await worker.terminate()
       console.log('gone')`,
    )
    expect(outcome).toMatchObject({ code: 0, signal: null, stdout: 'gone\n' })
  })
})
