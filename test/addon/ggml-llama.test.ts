import { describe, expect, inject, it } from 'vitest'
import * as ggml from '../../lib/ggml/index.js'
import { loadModel } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

describe('the classic shape', () => {
  it('loads, counts tokens and writes what loadModel writes', async () => {
    const path = inject('models').tiny
    const params = new ggml.ModelParams({
      path,
      nCtx: 256,
      nBatch: 64,
      nThreads: 1,
      nGpuLayers: 0,
      useMmap: true,
      useMlock: false,
    })
    const llama = await ggml.Llama.load(params)
    const pieces: string[] = []
    const text = await llama.generate('Once upon', { nPredict: 12, temp: 0 }, (piece) =>
      pieces.push(piece),
    )
    expect(llama.model.info.contextSize).toBe(256)
    expect(text.length).toBeGreaterThan(0)
    expect(pieces.join('')).toBe(text)

    const model = await loadModel(path, { contextSize: 256 })
    expect(text).toBe(await model.complete('Once upon', { maxTokens: 12, temperature: 0 }).text())
    expect(await llama.tokenize('Once upon')).toEqual(await model.tokenize('Once upon'))
    await model.close()

    const seeded = () => llama.generate('Once', { nPredict: 8, temp: 2, seed: 5 })
    expect(await seeded()).toBe(await seeded())
    await llama.free()
    await llama.free()
    await expectCode('ERR_MODEL_CLOSED', () => llama.generate('Once'))
  })

  it('says what is wrong with its parameters', async () => {
    const wrong = { path: 'x', nThread: 2 } as unknown as ggml.ModelParamsOptions
    expect(
      (await expectCode('ERR_OPTION_UNKNOWN', () => new ggml.ModelParams(wrong))).message,
    ).toContain('nThreads')
    await expectCode('ERR_OPTION_INVALID', () => new ggml.ModelParams({ path: 'x', nCtx: 0 }))
    await expectCode('ERR_MODEL_NOT_FOUND', () => ggml.Llama.load({ path: './missing.gguf' }))
  })
})
