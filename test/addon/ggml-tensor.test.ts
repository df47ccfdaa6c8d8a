import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as ggml from '../../lib/ggml/index.js'
import { tensorTypes } from '../../lib/gguf/index.js'
import { expectCode } from '../helpers/expect-code.js'

let c: ggml.Context
beforeEach(() => {
  c = new ggml.Context({ memSize: 2 ** 22 })
})
afterEach(() => c.close())

const wave = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.7) * 3)

describe('numbers go in and come out', () => {
  it.each([
    ['F32', Float32Array, [1.5, -2, 3e38]],
    ['F64', Float64Array, [1.5, -2, 1e300]],
    ['I8', Int8Array, [-128, 0, 127]],
    ['I16', Int16Array, [-32768, 0, 32767]],
    ['I32', Int32Array, [-(2 ** 31), 0, 2 ** 31 - 1]],
  ] as const)('as they are: %s', (type, array, numbers) => {
    const tensor = c.tensor(type, [3], numbers)
    expect(tensor.get()).toEqual(array.from(numbers))
    expect(tensor.set(array.from([1, 2, 3])).get()).toEqual(array.from([1, 2, 3]))
  })

  it('I64 as bigints, of which small ones may be numbers', () => {
    const tensor = c.tensor('I64', [3], [-(2n ** 63n), 5n, 2n ** 63n - 1n])
    expect(tensor.get()).toEqual(BigInt64Array.of(-(2n ** 63n), 5n, 2n ** 63n - 1n))
    expect(tensor.set([1, 2, 3]).get()).toEqual(BigInt64Array.of(1n, 2n, 3n))
    expect(tensor.floats()).toEqual(Float32Array.of(1, 2, 3))
  })

  it('F16 and BF16 are converted both ways', () => {
    const numbers = [1, -0.5, 65504, 0.1, Number.POSITIVE_INFINITY, Number.NaN]
    const half = c.tensor('F16', [6], numbers).get() as Float32Array
    expect([...half.slice(0, 3), half[4], half[5]]).toEqual([1, -0.5, 65504, Infinity, NaN])
    expect(half[3]).toBeCloseTo(0.1, 4)
    const brain = c.tensor('BF16', [6], numbers).get() as Float32Array
    expect([...brain.slice(0, 2), brain[4], brain[5]]).toEqual([1, -0.5, Infinity, NaN])
    expect(brain[3]).toBeCloseTo(0.1, 3)
  })

  const quantised = [...tensorTypes].filter(([, { blockSize }]) => blockSize > 1)
  const unwritable = ['Q8_1', 'Q8_K', 'IQ1_S', 'IQ2_XXS', 'IQ2_XS']

  it.each(quantised.filter(([name]) => !unwritable.includes(name)))(
    '%s is quantised and read back',
    (name, { blockSize, blockBytes }) => {
      const numbers = wave(blockSize * 6)
      const tensor = c.tensor(name as ggml.TensorTypeName, [blockSize * 2, 3], numbers)
      expect(tensor.bytes().length).toBe(blockBytes * 6)
      const back = tensor.floats()
      const error = Math.sqrt(back.reduce((sum, n, i) => sum + (n - numbers[i]!) ** 2, 0))
      const size = Math.sqrt(numbers.reduce((sum, n) => sum + n ** 2, 0))
      expect(error / size).toBeLessThan(name.includes('1') || name.includes('2') ? 0.9 : 0.4)
      const twin = c
        .tensor(name as ggml.TensorTypeName, [blockSize * 2, 3])
        .setBytes(tensor.bytes())
      expect(twin.floats()).toEqual(back)
    },
  )

  it.each(unwritable)('%s takes bytes only', async (name) => {
    const { blockSize, blockBytes } = tensorTypes.get(name)!
    const tensor = c.tensor(name as ggml.TensorTypeName, [blockSize])
    await expectCode('ERR_TENSOR_TYPE', () => tensor.set(wave(blockSize)))
    const bytes = new Uint8Array(blockBytes).fill(3)
    expect(tensor.setBytes(bytes).bytes()).toEqual(bytes)
  })

  it('a new tensor is zeros, whatever was in that memory before', () => {
    for (const [name, { blockSize }] of tensorTypes) {
      const tensor = c.tensor(name as ggml.TensorTypeName, [blockSize, 2])
      expect(tensor.bytes().every((byte) => byte === 0)).toBe(true)
    }
  })

  it('a view is read in its own order', () => {
    const a = c.tensor('F32', [3, 2], [1, 2, 3, 4, 5, 6])
    expect([...c.transpose(a).floats()]).toEqual([1, 4, 2, 5, 3, 6])
    expect([...c.view2d(a, 2, 2, 12, 4).floats()]).toEqual([2, 3, 5, 6])
    const q = c.tensor('Q8_0', [64, 2], wave(128))
    expect(c.view2d(q, 32, 2, 68, 34).floats()).toEqual(
      Float32Array.of(...q.floats().slice(32, 64), ...q.floats().slice(96)),
    )
  })

  it('four dimensions, and what a tensor says of itself', () => {
    const a = c.tensor('F32', [2, 3, 4, 5], wave(120))
    expect(a).toMatchObject({
      type: 'F32',
      shape: [2, 3, 4, 5],
      strides: [4, 8, 24, 96],
      contiguous: true,
      elements: 120,
      operation: 'NONE',
    })
    expect(c.permute(a, 1, 0, 3, 2)).toMatchObject({ shape: [3, 2, 5, 4], contiguous: false })
    a.name = 'größe'
    expect(a.name).toBe('größe')
  })
})

describe('is refused', () => {
  it.each<[string, ggml.TensorTypeName, number[], unknown]>([
    ['a number too few', 'F32', [3], [1, 2]],
    ['a number too many', 'I32', [1], [1, 2]],
    ['a row of half a block', 'Q4_0', [16], undefined],
    ['a row of no elements', 'F32', [0], undefined],
    ['a negative dimension', 'F32', [2, -1], undefined],
    ['no dimension', 'F32', [], undefined],
    ['five dimensions', 'F32', [1, 1, 1, 1, 1], undefined],
    ['a dimension that is no integer', 'F32', [1.5], undefined],
  ])('%s: ERR_TENSOR_SHAPE', async (_, type, shape, data) => {
    await expectCode('ERR_TENSOR_SHAPE', () => c.tensor(type, shape, data as number[]))
  })

  it.each<[string, ggml.TensorTypeName, unknown[]]>([
    ['NaN', 'Q4_0', [Number.NaN]],
    ['infinity', 'IQ3_XXS', [Number.POSITIVE_INFINITY]],
    ['more than a scale can hold', 'Q6_K', [65505]],
  ])('%s in a quantised tensor: ERR_TENSOR_VALUE', async (_, type, [bad]) => {
    const data = wave(256)
    data[200] = bad as number
    await expectCode('ERR_TENSOR_VALUE', () => c.tensor(type, [256], data))
  })

  it.each<[string, ggml.TensorTypeName, unknown]>([
    ['text', 'F32', 'one'],
    ['text in an array', 'F32', ['1']],
    ['a fraction', 'I32', [1.5]],
    ['what does not fit', 'I8', [128]],
    ['a bigint among floats', 'F32', [1n]],
    ['more than 64 bits', 'I64', [2n ** 63n]],
    ['an object', 'F32', {}],
  ])('%s: ERR_OPTION_INVALID', async (_, type, data) => {
    await expectCode('ERR_OPTION_INVALID', () => c.tensor(type, [1], data as number[]))
  })

  it('a type that ggml does not know, with what was meant', async () => {
    const { message } = await expectCode('ERR_TENSOR_TYPE', () => c.tensor('Q4_k' as 'Q4_K', [256]))
    expect(message).toContain('did you mean Q4_K?')
  })

  it('a name of more than 63 bytes, or with NUL', async () => {
    const a = c.tensor('F32', [1])
    for (const name of ['ü'.repeat(32), 'a\0b']) {
      await expectCode('ERR_OPTION_INVALID', () => {
        a.name = name
      })
    }
  })

  it('to write into a view that is not contiguous, or past its end', async () => {
    const a = c.tensor('F32', [3, 2])
    await expectCode('ERR_TENSOR_SHAPE', () => c.transpose(a).set([1, 2, 3, 4, 5, 6]))
    await expectCode('ERR_TENSOR_SHAPE', () => a.setBytes(new Uint8Array(25)))
    await expectCode('ERR_TENSOR_SHAPE', () => a.setBytes(new Uint8Array(4), 21))
    await expectCode('ERR_OPTION_INVALID', () => a.setBytes(new Uint8Array(4), -4))
  })
})
