// A whole small llama written with ggml's operations: its numbers must be the engine's.

import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import * as ggml from '../../lib/ggml/index.js'
import { loadModel, type Model } from '../../lib/index.js'

let model: Model
let file: ggml.LoadedGguf
beforeAll(async () => {
  // In 32 bits throughout: flash attention multiplies in 16.
  model = await loadModel(inject('models').tiny, {
    cacheType: 'f32',
    contextSize: 256,
    flashAttention: false,
  })
  file = await ggml.loadGguf(inject('models').tiny)
})
afterAll(async () => {
  await model.close()
  await file.context.close()
})

/** Logits of the last of `tokens`. */
async function forward(tokens: Int32Array): Promise<Float32Array> {
  const { context: c, tensors, metadata } = file
  const weight = (name: string) => tensors.get(`${name}.weight`)!
  const number = (key: string) => Number(metadata.get(`llama.${key}`))
  const heads = number('attention.head_count')
  const headsKv = number('attention.head_count_kv')
  const eps = number('attention.layer_norm_rms_epsilon')
  const width = number('embedding_length')
  const size = width / heads
  const n = tokens.length
  const positions = c.tensor(
    'I32',
    [n],
    Int32Array.from({ length: n }, (_, i) => i),
  )
  const norm = (x: ggml.Tensor, name: string) => c.mul(c.rmsNorm(x, eps), weight(name))
  const rope = (x: ggml.Tensor, count: number) =>
    c.ropeExt(
      c.reshape3d(x, size, count, n),
      positions,
      null,
      size,
      ggml.RopeType.normal,
      0,
      10000,
      1,
      0,
      1,
      32,
      1,
    )

  let x = c.getRows(weight('token_embd'), c.tensor('I32', [n], tokens))
  for (let layer = 0; layer < number('block_count'); layer++) {
    const block = (name: string) => `blk.${layer}.${name}`
    const input = norm(x, block('attn_norm'))
    const q = rope(c.mulMat(weight(block('attn_q')), input), heads)
    const k = rope(c.mulMat(weight(block('attn_k')), input), headsKv)
    const v = c.reshape3d(c.mulMat(weight(block('attn_v')), input), size, headsKv, n)
    const scores = c.mulMat(c.permute(k, 0, 2, 1, 3), c.permute(q, 0, 2, 1, 3)) // [keys, queries, heads]
    const attention = c.softMax(c.diagMaskInf(c.scale(scores, 1 / Math.sqrt(size)), 0))
    const mixed = c.mulMat(c.cont(c.permute(v, 1, 2, 0, 3)), attention) // [size, queries, heads]
    const joined = c.cont2d(c.permute(mixed, 0, 2, 1, 3), width, n)
    x = c.add(x, c.mulMat(weight(block('attn_output')), joined))
    const middle = norm(x, block('ffn_norm'))
    const gate = c.mulMat(weight(block('ffn_gate')), middle)
    const up = c.mulMat(weight(block('ffn_up')), middle)
    x = c.add(x, c.mulMat(weight(block('ffn_down')), c.swigluSplit(gate, up)))
  }
  const last = c.view2d(x, width, 1, x.strides[1]!, (n - 1) * x.strides[1]!)
  const logits = c.mulMat(weight('token_embd'), norm(last, 'output_norm'))
  await c.graph(logits).compute({ threads: 2 })
  return logits.floats()
}

it.each(['Once upon a time', 'The sky', 'The capital of France is Paris, the capital of Italy is'])(
  'what follows %j is as likely as the engine says',
  async (prompt) => {
    const tokens = await model.tokenize(prompt)
    const logits = await forward(tokens)
    const most = Math.max(...logits)
    const log = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0))

    const stream = model.complete(tokens, {
      maxTokens: 1,
      temperature: 0,
      logprobs: 20,
      speculation: false,
    })
    let compared = 0
    for await (const part of stream) {
      for (const { token, logprob } of part.logprobs?.[0]?.top ?? []) {
        expect(logits[token]! - log).toBeCloseTo(logprob, 4)
        compared++
      }
    }
    expect(compared).toBe(20)
  },
)
