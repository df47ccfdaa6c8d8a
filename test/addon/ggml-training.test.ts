// Networks that learn: gradients and the optimiser's steps are computed by one graph.

import { afterEach, describe, expect, it } from 'vitest'
import * as ggml from '../../lib/ggml/index.js'

let context: ggml.Context
afterEach(() => context.close())

/** The same numbers every time, around zero. */
function randoms(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
}

/** Two layers with `hidden` units: the logits of what is to be told apart. */
function network(inputs: number, hidden: number, outputs: number, x: ggml.Tensor, seed: number) {
  const random = randoms(seed)
  const weights = (...shape: number[]) => {
    const scale = Math.sqrt(3 / shape[0]!)
    const data = Array.from({ length: shape.reduce((a, b) => a * b) }, () => random() * scale)
    return context.tensor('F32', shape, data).setParam()
  }
  const first = weights(inputs, hidden)
  const second = weights(hidden, outputs)
  const parameters = [first, context.tensor('F32', [hidden]).setParam(), second]
  const middle = context.relu(context.add(context.mulMat(first, x), parameters[1]!))
  return { parameters, logits: context.mulMat(second, middle) }
}

/** AdamW's steps behind the gradients; what comes back sets the rate of the next one. */
function optimise(graph: ggml.Graph, parameters: ggml.Tensor[]): (step: number) => void {
  const options = context.tensor('F32', [7])
  for (const parameter of parameters) {
    const zeros = () => context.tensor('F32', parameter.shape)
    const gradient = graph.gradient(parameter)!
    graph.expand(context.optStepAdamw(parameter, gradient, zeros(), zeros(), options))
  }
  const [alpha, beta1, beta2, eps, decay] = [0.05, 0.9, 0.999, 1e-8, 0] as const
  return (step) =>
    options.set([alpha, beta1, beta2, eps, decay, 1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)])
}

describe('an MLP', () => {
  it('learns XOR', async () => {
    context = new ggml.Context({ memSize: 2 ** 22 })
    const x = context.tensor('F32', [2, 4], [0, 0, 0, 1, 1, 0, 1, 1])
    const labels = context.tensor('F32', [2, 4], [1, 0, 0, 1, 0, 1, 1, 0])
    const { parameters, logits } = network(2, 8, 2, x, 7)
    const loss = context.crossEntropyLoss(logits, labels).setLoss()
    const graph = context.graph(loss).backward()
    const step = optimise(graph, parameters)
    step(1)
    await graph.compute({ threads: 1 })
    const before = loss.floats()[0]!
    for (let i = 2; i <= 200; i++) {
      step(i)
      await graph.compute({ threads: 1 })
    }
    expect(before).toBeGreaterThan(0.4)
    expect(loss.floats()[0]).toBeLessThan(0.02)
    const likelier = context.argmax(logits)
    await context.graph(likelier).compute({ threads: 1 })
    expect([...(likelier.get() as Int32Array)]).toEqual([0, 1, 1, 0])
  })

  it('tells two spirals apart, the same way every time', async () => {
    const train = async () => {
      context = new ggml.Context({ memSize: 2 ** 24 })
      const count = 120
      const points = Array.from({ length: count }, (_, i) => {
        const angle = (i / count) * 2.5 * Math.PI + 0.5
        const side = i % 2 === 0 ? 1 : -1
        return [(side * Math.cos(angle) * angle) / 8, (side * Math.sin(angle) * angle) / 8]
      })
      const x = context.tensor('F32', [2, count], points.flat())
      const labels = context.tensor(
        'F32',
        [2, count],
        points.flatMap((_, i) => (i % 2 === 0 ? [1, 0] : [0, 1])),
      )
      const { parameters, logits } = network(2, 48, 2, x, 3)
      const loss = context.crossEntropyLoss(logits, labels).setLoss()
      const graph = context.graph(loss).backward()
      const step = optimise(graph, parameters)
      for (let i = 1; i <= 400; i++) {
        step(i)
        await graph.compute({ threads: 1 })
      }
      const right = Array.from(logits.floats()).filter(
        (logit, i, all) => i % 2 === 0 && logit > all[i + 1]! === ((i / 2) % 2 === 0),
      ).length
      return { loss: loss.floats()[0]!, right: right / count }
    }
    const first = await train()
    expect(first.loss).toBeLessThan(0.1)
    expect(first.right).toBeGreaterThan(0.97)
    await context.close()
    expect(await train()).toEqual(first)
  })
})

describe('gradients', () => {
  /** The derivative of a loss at each of its parameter's numbers, by moving it a little both ways. */
  async function moved(parameter: ggml.Tensor, loss: ggml.Tensor, graph: ggml.Graph) {
    const at = parameter.floats()
    const slopes: number[] = []
    for (let i = 0; i < at.length; i++) {
      const value = async (delta: number) => {
        parameter.set(at.map((n, k) => (k === i ? n + delta : n)))
        await graph.compute({ threads: 1 })
        return loss.floats()[0]!
      }
      slopes.push(((await value(1e-2)) - (await value(-1e-2))) / 2e-2)
    }
    parameter.set(at)
    await graph.compute({ threads: 1 })
    return slopes
  }

  const c = () => context
  it.each<[name: string, of: (p: ggml.Tensor) => ggml.Tensor]>([
    ['mulMat', (p) => c().mulMat(p, c().tensor('F32', [4, 2], [1, 2, -1, 0.5, 0.3, 1, 1, -2]))],
    [
      'a product after a transposition',
      (p) => c().mulMat(c().cont(c().transpose(p)), c().tensor('F32', [3], [1, 2, 3])),
    ],
    ['softMax', (p) => c().sqr(c().softMax(p))],
    ['rmsNorm', (p) => c().mul(c().rmsNorm(p, 1e-5), c().tensor('F32', [4], [1, 2, 3, 4]))],
    ['silu', (p) => c().silu(p)],
    [
      'a broadcast sum',
      (p) => c().mul(c().add(c().tensor('F32', [4, 3], Array(12).fill(0.5)), p), p),
    ],
    ['getRows', (p) => c().sqr(c().getRows(p, c().tensor('I32', [2], [2, 0])))],
    ['a view', (p) => c().sqr(c().view2d(p, 2, 3, 16, 4))],
    [
      'rope',
      (p) =>
        c().sqr(
          c().scaleBias(
            c().rope(c().reshape3d(p, 4, 1, 3), c().tensor('I32', [3], [0, 5, 9]), 4, 0),
            1,
            0.5,
          ),
        ),
    ],
    [
      'division, logarithm and exponential',
      (p) => c().log(c().div(c().exp(p), c().tensor('F32', [4, 3], Array(12).fill(2)))),
    ],
  ])('of %s are the slopes of the loss', async (_, of) => {
    context = new ggml.Context({ memSize: 2 ** 22 })
    const data = Array.from({ length: 12 }, (_, i) => Math.sin(i + 1))
    const parameter = context.tensor('F32', [4, 3], data).setParam()
    const loss = context.sum(of(parameter)).setLoss()
    const graph = context.graph(loss).backward()
    await graph.compute({ threads: 1 })
    const gradient = [...graph.gradient(parameter)!.floats()]
    const slopes = await moved(parameter, loss, graph)
    expect(gradient.length).toBe(12)
    for (let i = 0; i < 12; i++) expect(gradient[i]).toBeCloseTo(slopes[i]!, 1.5)
  })
})
