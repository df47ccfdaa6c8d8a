// ggml.test-d.ts: what must compile of sotto/ggml, and what must not. Checked by `npm run types`, never run.

import * as ggml from '../../lib/ggml/index.js'

declare function expectType<Expected>(value: Expected): void

export async function everything(signal: AbortSignal): Promise<void> {
  await using context = new ggml.Context({ memSize: 2 ** 20, device: 'CPU' })
  const a: ggml.Tensor = context.tensor('Q4_K', [256, 2], new Float32Array(512))
  const ids = context.tensor('I64', [2], [1n, 2n])
  expectType<ggml.TensorData>(ids.get())
  expectType<Float32Array>(a.floats())
  expectType<readonly number[]>(a.shape)
  const attention = context.flashAttnExt(a, a, a, null, 1, 0, 0)
  const graph: ggml.Graph = context.graph([a, attention], { size: 100 }).backward()
  expectType<ggml.Tensor | undefined>(graph.gradient(a))
  expectType<void>(await graph.compute({ threads: 2, signal }))
  expectType<ggml.TensorTypeName>(context.cast(a, 'F16').type)
  context.glu(a, 'swiglu', false)
  context.ropeExt(a, ids, null, 16, ggml.RopeType.neox, 0, 1e4, 1, 0, 1, 32, 1)
  // @ts-expect-error not a type
  context.cast(a, 'F17')
  // @ts-expect-error not a gate
  context.glu(a, 'nonsense', false)
  // @ts-expect-error a mask may be missing, keys may not
  context.flashAttnExt(a, null, a, null, 1, 0, 0)
  // @ts-expect-error an argument too few
  context.mulMat(a)
  // @ts-expect-error memSize is required
  new ggml.Context({})
  // @ts-expect-error shapes do not change
  a.shape[0] = 1
  // @ts-expect-error no constructor
  new ggml.Llama()
  await using llama = await ggml.Llama.load(new ggml.ModelParams({ path: 'x', nCtx: 8 }))
  expectType<string>(await llama.generate('x', { nPredict: 1 }, (piece: string) => piece))
}
