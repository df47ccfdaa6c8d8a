// fuzz-ggml.mjs: distorts the calls of ggml-examples.mjs and computes what is accepted. Everything must end in a result or a documented
// error; the process must live. What it does is written down before it is done, so that whoever sees it die knows where.
//
//   node scripts/fuzz-ggml.mjs [--seed 1] [--cases 2000] [--first 0] [--note file]

import { openSync, writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import * as ggml from '../dist/ggml/index.js'
import { tensorTypes } from '../dist/gguf/index.js'
import { examples, rawTypes } from './ggml-examples.mjs'

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    cases: { type: 'string', default: '2000' },
    first: { type: 'string', default: '0' },
    note: { type: 'string' },
    show: { type: 'boolean', default: false },
  },
})

const types = [...tensorTypes.keys()]
const lengths = [1, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 128, 256]
const numbers = [
  -1,
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  12,
  16,
  24,
  31,
  32,
  40,
  48,
  64,
  96,
  100,
  128,
  255,
  256,
  512,
  1000,
  65535,
  65536,
  2 ** 20,
  2 ** 30,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 31,
  2 ** 53,
  0.5,
  -0.5,
  1e-6,
  1e30,
  Number.NaN,
  Infinity,
  -Infinity,
]
const words =
  'relu swiglu max avg f32 f16 q8 undefined nearest bilinear bicubic asc desc upper lower none tanh xielu F32 F16 Q4_0 Q8_1 nonsense'.split(
    ' ',
  )
const known = new Set([
  'ERR_TENSOR_SHAPE',
  'ERR_TENSOR_TYPE',
  'ERR_TENSOR_VALUE',
  'ERR_TENSOR_MEMORY',
  'ERR_TENSOR_FOREIGN',
  'ERR_OPTION_INVALID',
  'ERR_GRAPH_GRADIENT',
  'ERR_GRAPH_FULL',
])

/** A small generator (mulberry32); the same seed gives the same numbers. */
function generator(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    below: (n) => Math.floor(next() * n),
    of: (list) => list[Math.floor(next() * list.length)],
    chance: (p) => next() < p,
  }
}

const copy = (value) => structuredClone(value)

/** One change to one argument, somewhere in it. */
function distort(args, random) {
  const i = random.below(args.length)
  const argument = args[i]
  const others = args.filter((other) => other?.kind === 'tensor')
  if (argument?.kind === 'tensor' && others.length > 1 && random.chance(0.05)) {
    const other = random.of(others)
    other.shared ??= {}
    args[i] = other // the same tensor twice
    return
  }
  if (typeof argument === 'number') {
    args[i] = random.chance(0.5) ? random.of(numbers) : argument + random.below(5) - 2
  } else if (typeof argument === 'boolean') args[i] = !argument
  else if (typeof argument === 'string') args[i] = random.of(random.chance(0.5) ? words : types)
  else if (Array.isArray(argument)) {
    if (random.chance(0.2)) argument.pop()
    else argument[random.below(argument.length)] = random.of(numbers)
  } else if (argument.kind === 'result') {
    if (argument.args.length > 0) distort(argument.args, random)
  } else if (argument.kind === 'tensor') {
    switch (random.below(8)) {
      case 0:
        argument.type = random.of(random.chance(0.5) ? ['F32', 'F16', 'BF16', 'I32'] : types)
        break
      case 1:
        argument.shape[random.below(argument.shape.length)] = random.of(lengths)
        break
      case 2:
        argument.shape[random.below(argument.shape.length)] += random.chance(0.5) ? 1 : -1
        break
      case 3:
        if (argument.shape.length < 4) argument.shape.push(random.of(lengths))
        else argument.shape.pop()
        break
      case 4:
        argument.layout = 'permuted'
        argument.order = random.of([
          [1, 0, 2, 3],
          [0, 2, 1, 3],
          [2, 1, 0, 3],
          [3, 0, 1, 2],
          [0, 1, 3, 2],
          [1, 2, 3, 0],
        ])
        break
      case 5:
        argument.layout = 'strided'
        argument.gaps = [random.below(3), random.below(3), random.below(2)]
        argument.offset = random.below(3)
        break
      case 6:
        argument.values = random.of(['nan', 'huge', 'tiny', 'zero', 'wild'])
        break
      default:
        args[i] = random.chance(0.3)
          ? random.of([{ kind: 'none' }, { kind: 'junk' }, { kind: 'foreign' }])
          : { kind: 'result', method: 'cont', args: [argument] }
    }
  } else args[i] = { kind: 'tensor', type: 'F32', shape: [random.of(lengths), random.of(lengths)] }
}

function fill(tensor, { below, values, param }, random) {
  const { type, elements } = tensor
  if (type.startsWith('I') && !type.startsWith('IQ')) {
    const most = below ?? 100
    const wild = values === 'wild' || random.chance(0.02)
    const item = () =>
      wild ? random.of([-1, most, 2 ** 31 - 1, -(2 ** 31), 0]) : random.below(most)
    const list = Array.from({ length: elements }, () =>
      type === 'I8' ? item() & 63 : type === 'I16' ? item() & 16383 : item(),
    )
    tensor.set(list)
  } else if (rawTypes.has(type) || random.chance(0.05)) {
    tensor.setBytes(Uint8Array.from({ length: tensor.bytes().length }, () => random.below(256)))
  } else {
    const special = {
      nan: [Number.NaN, Infinity, -Infinity, 1],
      huge: [3e38, -3e38, 65504, 1e20],
      tiny: [1e-40, -1e-45, 1e-30],
      zero: [0, -0],
    }[values]
    tensor.set(
      Array.from({ length: elements }, () =>
        special ? random.of(special) : (random.next() - 0.5) * (values === 'wild' ? 1e4 : 2),
      ),
    )
  }
  if (param) tensor.setParam()
}

function build(context, value, random, leaves) {
  if (typeof value !== 'object' || Array.isArray(value)) return value
  switch (value.kind) {
    case 'none':
      return null
    case 'junk':
      return random.of([
        {},
        7,
        'tensor',
        [],
        undefined,
        () => {},
        Object.create(ggml.Tensor.prototype),
      ])
    case 'foreign': {
      const other = new ggml.Context({ memSize: 4096 })
      return other.tensor('F32', [4])
    }
    case 'result':
      return context[value.method](
        ...value.args.map((argument) => build(context, argument, random, leaves)),
      )
    default:
  }
  const { type, shape, layout } = value
  if (value.shared?.tensor) return value.shared.tensor
  if (layout === 'permuted') {
    const padded = [...shape, 1, 1, 1].slice(0, 4)
    const source = context.tensor(
      type,
      value.order.map((axis) => padded[axis]),
    )
    fill(source, { ...value, param: false }, random)
    return context.permute(source, ...value.order)
  }
  if (layout === 'strided') {
    const padded = [...shape, 1, 1, 1].slice(0, 4)
    const { blockSize, blockBytes } = tensorTypes.get(type)
    const [g0, g1, g2] = value.gaps
    const source = context.tensor(type, [
      padded[0] + (g0 + value.offset) * blockSize,
      padded[1] + g1,
      padded[2] + g2,
      padded[3],
    ])
    fill(source, { ...value, param: false }, random)
    return context.view4d(source, ...padded, ...source.strides.slice(1), value.offset * blockBytes)
  }
  const tensor = context.tensor(type, shape)
  fill(tensor, value, random)
  leaves.push(tensor)
  if (value.shared) value.shared.tensor = tensor
  return tensor
}

/** One case; returns what became of it. */
async function run(seed, index) {
  const random = generator(Math.imul(seed, 0x9e3779b1) + Math.imul(index, 0x85ebca6b))
  const [method, ...plain] = index < examples.length ? examples[index] : random.of(examples)
  const args = copy(plain)
  if (index >= examples.length) {
    for (let n = random.of([0, 1, 1, 1, 1, 2, 2, 3]); n > 0; n--) distort(args, random)
  }
  if (options.show)
    console.log(
      index,
      method,
      JSON.stringify(args, (key, value) => (key === 'shared' ? true : value)),
    )
  const context = new ggml.Context({ memSize: random.chance(0.05) ? 2 ** 16 : 2 ** 24 })
  try {
    const leaves = []
    let output = context[method](
      ...args.map((argument) => build(context, argument, random, leaves)),
    )
    for (let more = random.of([0, 0, 0, 1, 2]); more > 0 && index >= examples.length; more--) {
      const [then, , ...rest] = random.of(examples)
      try {
        output = context[then](
          output,
          ...copy(rest).map((argument) => build(context, argument, random, leaves)),
        )
      } catch (error) {
        if (!known.has(error.code)) throw error
      }
    }
    const graph = context.graph()
    if (index >= examples.length && random.chance(0.25)) {
      const trained = leaves.filter(({ type }) => type === 'F32').slice(0, 3)
      for (const leaf of trained) leaf.setParam()
      const loss = (output.elements === 1 ? output : context.sum(output)).setLoss()
      graph.expand(loss).backward()
    } else graph.expand(output)
    await graph.compute({ threads: random.chance(0.03) ? 3 : 1 })
    if (output.type !== 'Q8_1' && output.type !== 'Q8_K') output.get()
    output.bytes()
    return 'computed'
  } catch (error) {
    if (error instanceof ggml.SottoError && known.has(error.code)) {
      if (error.code === 'ERR_OPTION_INVALID' || error.message.length > 20) return error.code
    }
    throw error
  } finally {
    await context.close()
  }
}

const seed = Number(options.seed)
const first = Number(options.first)
const note = options.note && openSync(options.note, 'w')
const counts = {}
for (let index = first; index < first + Number(options.cases); index++) {
  if (note) writeSync(note, `--seed ${seed} --first ${index} --cases 1 --show`.padEnd(64), 0)
  try {
    const outcome = await run(seed, index)
    counts[outcome] = (counts[outcome] ?? 0) + 1
    if (index < examples.length && outcome !== 'computed') {
      throw new Error(`the example of ${examples[index][0]} was refused: ${outcome}`)
    }
  } catch (error) {
    console.error(`case ${index} of seed ${seed}:`, error)
    process.exitCode = 1
    if (first !== 0) break
  }
}
console.log(JSON.stringify(counts))
