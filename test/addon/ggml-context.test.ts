// What is refused before ggml, which would end the process, sees it.

import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as ggml from '../../lib/ggml/index.js'
import { type NativeTensor, native } from '../../lib/native.js'
import { expectCode } from '../helpers/expect-code.js'

let c: ggml.Context
beforeEach(() => {
  c = new ggml.Context({ memSize: 2 ** 22 })
})
afterEach(() => c.close())
const f32 = (...shape: number[]) => c.tensor('F32', shape)

describe('a context', () => {
  it('holds no more than memSize, says what is missing, and goes on with what fits', async () => {
    const small = new ggml.Context({ memSize: 10_000 })
    small.tensor('F32', [1000])
    const { message } = await expectCode('ERR_TENSOR_MEMORY', () => small.tensor('F32', [1500]))
    expect(message).toMatch(/room for \d+ bytes more, have \d+ of 10000/)
    const used = small.used
    for (let i = 0; i < 100; i++) {
      await expectCode('ERR_TENSOR_MEMORY', () => small.tensor('F32', [1500]))
    }
    expect(small.used).toBe(used)
    expect(small.tensor('F32', [100]).elements).toBe(100)
    await small.close()
  })

  it('counts headers and graphs too', async () => {
    const small = new ggml.Context({ memSize: 4000 })
    const a = small.tensor('F32', [4])
    await expectCode('ERR_TENSOR_MEMORY', () => {
      for (;;) small.view1d(a, 2, 0)
    })
    await small.close()
  })

  it.each([0, -1, 1.5, Number.NaN, '1', undefined, 2 ** 60])(
    'memSize %s: ERR_OPTION_INVALID',
    async (memSize) => {
      await expectCode('ERR_OPTION_INVALID', () => new ggml.Context({ memSize: memSize as number }))
    },
  )

  it('more memory than there is: ERR_TENSOR_MEMORY', () =>
    expectCode('ERR_TENSOR_MEMORY', () => new ggml.Context({ memSize: 2 ** 49 })))

  it('an unknown option, and an unknown device, are named', async () => {
    const misspelt = { memsize: 1 } as unknown as ggml.ContextOptions
    expect(
      (await expectCode('ERR_OPTION_UNKNOWN', () => new ggml.Context(misspelt))).message,
    ).toContain('memSize')
    const wrong = { memSize: 1000, device: 'GPU9' }
    expect(
      (await expectCode('ERR_OPTION_INVALID', () => new ggml.Context(wrong))).message,
    ).toContain('CPU')
  })

  it('lives on a device by name', async () => {
    for (const { name } of ggml.devices()) {
      const there = new ggml.Context({ memSize: 2 ** 20, device: name })
      const sum = there.add(there.tensor('F32', [2], [1, 2]), there.tensor('F32', [2], [3, 4]))
      await there.graph(sum).compute()
      expect([...sum.floats()]).toEqual([4, 6])
      await there.close()
    }
  })
})

describe('a tensor that is none of its own', () => {
  it.each([undefined, null, 7, 'a', {}, [], Object.create(ggml.Tensor.prototype)])(
    '%s: ERR_TENSOR_FOREIGN or ERR_OPTION_INVALID, never ggml',
    async (foreign) => {
      const a = f32(2)
      for (const call of [
        () => c.add(a, foreign as ggml.Tensor),
        () => c.add(foreign as ggml.Tensor, a),
        () => c.graph(foreign === undefined ? ([undefined] as never) : (foreign as ggml.Tensor)),
      ]) {
        try {
          call()
          expect(Array.isArray(foreign)).toBe(true)
        } catch (error) {
          expect((error as ggml.SottoError).code).toMatch(/ERR_TENSOR_FOREIGN|ERR_OPTION_INVALID/)
        }
      }
    },
  )

  it('one of another context, open or closed', async () => {
    const other = new ggml.Context({ memSize: 10_000 })
    const theirs = other.tensor('F32', [2])
    await expectCode('ERR_TENSOR_FOREIGN', () => c.add(f32(2), theirs))
    await expectCode('ERR_TENSOR_FOREIGN', () => c.graph(theirs))
    await expectCode('ERR_TENSOR_FOREIGN', () => c.graph().gradient(theirs))
    await other.close()
    await expectCode('ERR_TENSOR_FOREIGN', () => c.add(f32(2), theirs))
  })

  it("another class's object under a native method is no tensor", () => {
    const { TensorContext } = native()
    const context = new TensorContext(10_000, '')
    const tensor = context.newTensor(0, [2])
    const graph = context.newGraph(10)
    for (const other of [context, graph, {}, new (native().AbortFlag)()]) {
      expect(() => tensor.info.call(other as NativeTensor)).toThrow()
      expect(() => graph.expand(other as NativeTensor)).toThrow(/tensor/)
      expect(() => context.apply(2, [tensor, other])).toThrow(/tensor/)
    }
    expect(() => new (tensor.constructor as new (x: unknown) => unknown)(tensor)).toThrow()
    expect(() => new (graph.constructor as new () => unknown)()).toThrow()
    expect(() => context.apply(2, [tensor])).toThrow(/2 arguments \(a b\), received 1/)
    expect(() => context.apply(9999, [])).toThrow(/operation/)
    expect(() => context.newTensor(4, [2])).toThrow(/type/)
    context.close()
    context.close()
  })
})

describe('an operation says what it expected and what it received', () => {
  it.each<[code: ggml.ErrorCode, text: RegExp, call: () => unknown]>([
    [
      'ERR_TENSOR_SHAPE',
      /mul_mat: expected rows .* a F32 \[4, 2\], b F32 \[3, 2\]/,
      () => c.mulMat(f32(4, 2), f32(3, 2)),
    ],
    ['ERR_TENSOR_SHAPE', /view_1d: .* has 16 bytes/, () => c.view1d(f32(4), 4, 4)],
    ['ERR_TENSOR_SHAPE', /view_2d/, () => c.view2d(f32(4, 4), 4, 2, 2 ** 31, 0)],
    ['ERR_TENSOR_SHAPE', /overlap|at least/, () => c.view2d(f32(4, 4), 4, 2, 4, 0)],
    ['ERR_TENSOR_SHAPE', /whole blocks/, () => c.view1d(f32(4), 1, 2)],
    ['ERR_OPTION_INVALID', /offset/, () => c.view1d(f32(4), 1, -4)],
    ['ERR_OPTION_INVALID', /ne0/, () => c.view1d(f32(4), 0, 0)],
    ['ERR_TENSOR_SHAPE', /reshape_2d/, () => c.reshape2d(f32(4, 2), 3, 3)],
    ['ERR_TENSOR_SHAPE', /contiguous/, () => c.reshape1d(c.transpose(f32(4, 2)), 8)],
    [
      'ERR_TENSOR_SHAPE',
      /2\^31|dimensions/,
      () => c.repeat4d(f32(1), 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1, 1),
    ],
    ['ERR_TENSOR_MEMORY', /memSize/, () => c.repeat4d(f32(1), 2 ** 30, 1, 1, 1)],
    [
      'ERR_TENSOR_SHAPE',
      /pairs/,
      () => c.mulMatId(f32(1, 1, 2 ** 16), f32(1, 1, 2 ** 15), c.tensor('I32', [1, 2 ** 15])),
    ],
    ['ERR_TENSOR_TYPE', /F32, F16/, () => c.add(c.tensor('I32', [2]), f32(2))],
    ['ERR_TENSOR_TYPE', /quantised/, () => c.transpose(c.tensor('Q4_0', [32, 2]))],
    ['ERR_TENSOR_TYPE', /./, () => c.sum(c.tensor('Q4_0', [32]))],
    ['ERR_TENSOR_TYPE', /I32/, () => c.getRows(f32(4, 2), f32(1))],
    ['ERR_TENSOR_TYPE', /can be quantised/, () => c.cast(f32(256), 'IQ2_XXS')],
    ['ERR_TENSOR_TYPE', /gelu|F32 or F16/, () => c.gelu(c.tensor('BF16', [4]))],
    ['ERR_OPTION_INVALID', /dim/, () => c.concat(f32(2), f32(2), 4)],
    ['ERR_OPTION_INVALID', /axis/, () => c.permute(f32(2, 2), 0, 0, 1, 2)],
    ['ERR_OPTION_INVALID', /eps/, () => c.rmsNorm(f32(4), -1)],
    ['ERR_OPTION_INVALID', /n_dims/, () => c.rope(f32(8, 1, 1), c.tensor('I32', [1]), 0, 0)],
    ['ERR_TENSOR_SHAPE', /positions/, () => c.rope(f32(8, 1, 2), c.tensor('I32', [1]), 8, 0)],
    ['ERR_OPTION_INVALID', /s0/, () => c.conv1d(f32(3, 1, 1), f32(8, 1), 0, 0, 1)],
    ['ERR_TENSOR_SHAPE', /kernel/, () => c.conv2d(f32(9, 9, 1, 1), f32(8, 8, 1), 1, 1, 0, 0, 1, 1)],
    ['ERR_OPTION_INVALID', /reglu or geglu/, () => c.glu(f32(8), 'nonsense' as ggml.GluOp, false)],
    ['ERR_OPTION_INVALID', /swapped/, () => c.glu(f32(8), 'reglu', 1 as unknown as boolean)],
    ['ERR_OPTION_INVALID', /start < stop/, () => c.arange(0, 10, 0)],
    ['ERR_TENSOR_SHAPE', /parameter/, () => c.optStepSgd(f32(2), f32(2), f32(2))],
    ['ERR_TENSOR_SHAPE', /result of softMax/, () => c.softMaxAddSinks(f32(2), f32(1))],
    ['ERR_TENSOR_SHAPE', /loss/, () => f32(2).setLoss()],
    ['ERR_TENSOR_SHAPE', /parameter/, () => c.sqr(f32(2)).setParam()],
    [
      'ERR_TENSOR_SHAPE',
      /two dimensions/,
      () => c.countEqual(c.tensor('I32', [2, 3, 4]), c.tensor('I32', [2, 3, 4])),
    ],
    [
      'ERR_TENSOR_SHAPE',
      /64/,
      () => {
        const t = () => f32(16, 2, 6)
        return c.rwkvWkv7(t(), t(), t(), t(), t(), t(), f32(512, 2))
      },
    ],
  ])('%s %s', async (code, text, call) => {
    const used = c.used
    const { message } = await expectCode(code, call)
    expect(message).toMatch(text)
    expect(message).toMatch(/expected|Expected/)
    expect(c.used - used).toBeLessThan(2 ** 20)
  })

  it('sinks that are computed from what they are added to are refused: a graph has no circles', async () => {
    const a = c.softMax(f32(4, 2, 3))
    const sinks = c.view1d(c.sumRows(a), 3, 0)
    await expectCode('ERR_TENSOR_SHAPE', () => c.softMaxAddSinks(a, sinks))
    await c.graph(a).compute()
  })
})

describe('a graph', () => {
  it('refuses more tensors than it was made for', async () => {
    let a = f32(1)
    for (let i = 0; i < 20; i++) a = c.neg(a)
    expect((await expectCode('ERR_GRAPH_FULL', () => c.graph(a, { size: 20 }))).message).toContain(
      'received 21',
    )
    expect(c.graph(a, { size: 21 }).nodes).toBe(20)
  })

  it('may be a chain that is longer than any stack', async () => {
    const long = new ggml.Context({ memSize: 2 ** 26 })
    let a = long.tensor('F32', [1], [1])
    for (let i = 0; i < 20_001; i++) a = long.negInplace(a)
    await long.graph(a).compute()
    expect(a.floats()[0]).toBe(-1)
    await long.close()
  })

  it.each([
    ['below', -1],
    ['above', 3],
    ['far above', 2 ** 31 - 1],
  ])('looks at the rows that are to be got: %s', async (_, index) => {
    const rows = c.getRows(f32(4, 3), c.tensor('I32', [2], [0, index]))
    const graph = c.graph(rows)
    expect((await expectCode('ERR_TENSOR_VALUE', () => graph.compute())).message).toContain(
      'from 0 to 2',
    )
  })

  it('looks at indices that the same graph computes', async () => {
    const numbers = c.tensor('F32', [5, 2], [9, 1, 2, 3, 4, 0, 1, 2, 3, 9])
    const ids = c.argmax(numbers) // 0 and 4
    const graph = c.graph(c.getRows(c.tensor('F32', [2, 4]), ids))
    await expectCode('ERR_TENSOR_VALUE', () => graph.compute())
    numbers.set([9, 1, 2, 3, 4, 0, 1, 2, 9, 3])
    await graph.compute()
  })

  it('sorts no NaN', async () => {
    const numbers = c.tensor('F32', [64], [Number.NaN, ...Array(63).fill(1)])
    for (const graph of [c.graph(c.argsort(numbers, 'asc')), c.graph(c.topK(numbers, 3))]) {
      await expectCode('ERR_TENSOR_VALUE', () => graph.compute())
    }
  })

  it.runIf(process.platform === 'linux')(
    'that needs more memory beside the tensors than there is ends in ERR_TENSOR_MEMORY, and the next one computes',
    () => {
      const program = `
const ggml = await import(${JSON.stringify(pathToFileURL(resolve('dist/ggml/index.js')).href)})
const context = new ggml.Context({ memSize: 2 ** 22 })
const experts = context.tensor('F32', [1, 1, 2 ** 14])
const ids = context.tensor('I32', [1, 2 ** 16])   // with a row for each pair: 8 GB
const graph = context.graph(context.mulMatId(experts, context.tensor('F32', [1, 1, 2 ** 16]), ids))
for (let i = 0; i < 2; i++) await graph.compute().catch((error) => console.log(error.code))
const sum = context.sum(context.tensor('F32', [3], [1, 2, 3]))
await context.graph(sum).compute()
console.log(sum.get()[0])
await context.close()`
      const script = 'ulimit -v 6000000 && exec "$0" --input-type=module -e "$1"'
      const said = execFileSync('bash', ['-c', script, process.execPath, program])
      expect(String(said)).toBe('ERR_TENSOR_MEMORY\nERR_TENSOR_MEMORY\n6\n')
    },
  )

  it('takes no other operation of its context while it computes', async () => {
    const a = f32(512, 512)
    let b: ggml.Tensor = f32(512, 64)
    for (let i = 0; i < 20; i++) b = c.mulMat(a, b)
    const graph = c.graph(b)
    const running = graph.compute({ threads: 1 })
    for (const call of [
      () => c.add(a, a),
      () => a.get(),
      () => a.set(new Float32Array(512 * 512)),
      () => f32(1),
      () => graph.compute(),
      () => graph.expand(a),
      () => c.graph(a),
      () => c.used,
    ]) {
      await expectCode('ERR_TENSOR_BUSY', call)
    }
    await running
    expect(b.floats().every((n) => n === 0)).toBe(true)
  })

  it('ends between two operations when it is aborted', async () => {
    const controller = new AbortController()
    const a = f32(256, 256)
    let b: ggml.Tensor = f32(256, 256)
    for (let i = 0; i < 200; i++) b = c.softMaxInplace(c.mulInplace(b, a))
    const graph = c.graph(b)
    const running = graph.compute({ threads: 1, signal: controller.signal })
    controller.abort(new Error('enough'))
    await expectCode('ERR_ABORTED', () => running)
    await expectCode('ERR_ABORTED', () => graph.compute({ signal: controller.signal }))
    await graph.compute()
  })

  it.each([0, -1, 1.5, 513, '2', Number.NaN])(
    'threads: %s is ERR_OPTION_INVALID',
    async (threads) => {
      await expectCode('ERR_OPTION_INVALID', () =>
        c.graph(f32(1)).compute({ threads: threads as number }),
      )
    },
  )
})

describe('gradients are refused', () => {
  it.each<[string, RegExp, () => ggml.Tensor]>([
    ['without a parameter', /setParam/, () => c.sum(c.sqr(f32(2))).setLoss()],
    ['without a loss', /setLoss/, () => c.sum(c.sqr(f32(2).setParam()))],
    [
      'of an operation that ggml has none of',
      /GELU/i,
      () => c.sum(c.gelu(f32(2).setParam())).setLoss(),
    ],
    [
      'of an operation in place',
      /in place/,
      () => c.sum(c.sqrInplace(c.sqr(f32(2).setParam()))).setLoss(),
    ],
    [
      'of a broadcast difference',
      /one shape/,
      () => c.sum(c.sub(f32(2, 2), f32(2).setParam())).setLoss(),
    ],
    [
      'through F16',
      /derivative/,
      () => c.sum(c.cast(c.cast(f32(2).setParam(), 'F16'), 'F32')).setLoss(),
    ],
    ['of the labels', /derivative/, () => c.crossEntropyLoss(f32(2), f32(2).setParam()).setLoss()],
  ])('%s', async (_, text, loss) => {
    const graph = c.graph(loss())
    expect((await expectCode('ERR_GRAPH_GRADIENT', () => graph.backward())).message).toMatch(text)
  })

  it('a second time', async () => {
    const graph = c.graph(c.sum(f32(2).setParam()).setLoss()).backward()
    await expectCode('ERR_GRAPH_GRADIENT', () => graph.backward())
  })
})
