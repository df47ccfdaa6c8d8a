import { describe, expect, inject, it } from 'vitest'
import { loadModel } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'

const norm = (row: Float32Array) => Math.hypot(...row)

describe('embeddings', () => {
  it('a text alone has the vector it has among two hundred others', async () => {
    await using model = await loadModel(inject('models').bert)
    const texts = Array.from(
      { length: 200 },
      (_, i) => `the quick ${i} fox ${'jumps '.repeat(i % 7)}`,
    )
    const rows = await model.embed(texts)
    expect(rows).toHaveLength(200)
    for (const row of rows) {
      expect(row).toHaveLength(model.info.embeddingLength)
      expect(norm(row)).toBeCloseTo(1, 4)
    }
    const alone = await model.embed(texts[5]!)
    for (const [i, value] of alone.entries()) expect(value).toBeCloseTo(rows[5]![i]!, 3)
  })

  it('raw vectors are not of length 1', async () => {
    await using model = await loadModel(inject('models').bert)
    expect(Math.abs(norm(await model.embed('the fox', { normalize: false })) - 1)).toBeGreaterThan(
      0.01,
    )
  })

  it('a text generator embeds too, while it generates', async () => {
    await using model = await loadModel(inject('models').real)
    const stream = model.complete('Once', { maxTokens: 40, temperature: 0, ignoreEos: true })
    const [a, b, c] = await model.embed(['A cat sat.', 'A cat sat down.', 'Quarterly tax report'])
    const dot = (x: Float32Array, y: Float32Array) =>
      x.reduce((sum, value, i) => sum + value * y[i]!, 0)
    expect(dot(a!, b!)).toBeGreaterThan(dot(a!, c!))
    expect((await stream.result).usage.tokensGenerated).toBe(40)
  })

  it('a text longer than the context fails, or is cut when asked', async () => {
    await using model = await loadModel(inject('models').bert)
    const long = 'fox '.repeat(500)
    await expectCode('ERR_PROMPT_TOO_LONG', () => model.embed(long))
    expect(await model.embed(long, { truncate: true })).toHaveLength(model.info.embeddingLength)
  })

  it('an abort rejects with ERR_ABORTED', async () => {
    await using model = await loadModel(inject('models').real)
    const controller = new AbortController()
    const embedding = model.embed(
      Array.from({ length: 300 }, () => 'word '.repeat(200)),
      { signal: controller.signal },
    )
    setTimeout(() => controller.abort(), 30)
    await expectCode('ERR_ABORTED', () => embedding)
  })

  it('an embedding model refuses to generate', async () => {
    await using model = await loadModel(inject('models').bert)
    await expectCode('ERR_MODEL_UNSUPPORTED', () => model.complete('Hi').result)
  })
})

describe('reranking', () => {
  it('orders documents by score and keeps their index', async () => {
    await using model = await loadModel(inject('models').rerank)
    const documents = ['the fox', 'paris is the capital', 'the sky is blue']
    const ranked = await model.rerank('what is blue', documents)
    expect(ranked.map(({ index }) => index).sort()).toEqual([0, 1, 2])
    expect(ranked[0]!.score).toBeGreaterThanOrEqual(ranked[1]!.score)
    for (const { index, document } of ranked) expect(document).toBe(documents[index])
    expect(await model.rerank('what is blue', documents, { topN: 1 })).toEqual([ranked[0]])
  })

  it('a model that does not rank says so, and a ranker does not embed', async () => {
    await using model = await loadModel(inject('models').bert)
    await expectCode('ERR_RERANK_UNSUPPORTED', () => model.rerank('a', ['b']))
    await using ranker = await loadModel(inject('models').rerank)
    await expectCode('ERR_EMBEDDING_UNSUPPORTED', () => ranker.embed('a'))
  })
})

describe('LoRA', () => {
  it('an adapter changes the text, at scale 0 it does not', async () => {
    const options = { temperature: 0, maxTokens: 20, ignoreEos: true }
    const text = async (adapters?: { path: string; scale?: number }[]) => {
      await using model = await loadModel(inject('models').tiny, adapters ? { adapters } : {})
      return await model.complete('Once', options).text()
    }
    const plain = await text()
    expect(await text([{ path: inject('models').lora, scale: 1 }])).not.toBe(plain)
    expect(await text([{ path: inject('models').lora, scale: 0 }])).toBe(plain)
  })

  it('a model is not an adapter', async () => {
    await expectCode('ERR_ADAPTER_INVALID', () =>
      loadModel(inject('models').tiny, { adapters: [{ path: inject('models').tiny }] }),
    )
  })
})
