// make-ggml-operations.mjs: writes lib/ggml/operations.ts out of ggml.h and the native table. Run it after an upgrade of ggml or a change
// of the table; check-native.mjs says when it is needed.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { readEnum, readHeader, readTable } from './ggml-header.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
export const operationsFile = join(root, 'lib', 'ggml', 'operations.ts')

/** Name in TypeScript, enum in C, what its enumerators begin with. */
const enums = [
  ['GluOp', 'ggml_glu_op', 'GGML_GLU_OP_'],
  ['OpHint', 'ggml_op_hint', 'GGML_HINT_'],
  ['PoolOp', 'ggml_op_pool', 'GGML_OP_POOL_'],
  ['Precision', 'ggml_prec', 'GGML_PREC_'],
  ['ScaleMode', 'ggml_scale_mode', 'GGML_SCALE_MODE_'],
  ['SortOrder', 'ggml_sort_order', 'GGML_SORT_ORDER_'],
  ['TriangleType', 'ggml_tri_type', 'GGML_TRI_TYPE_'],
  ['UnaryOp', 'ggml_unary_op', 'GGML_UNARY_OP_'],
]

const camel = (name) => name.replace(/_+([a-z0-9])/g, (_, letter) => letter.toUpperCase())
const methodName = (name) => camel(name.slice('ggml_'.length))

/** The type of a parameter, and how it is passed on. */
function parameterOf({ name, type }, optional) {
  const its = camel(name)
  const label = `'${its}'`
  if (type === 'ggml_tensor*')
    return { text: `${its}: Tensor${optional ? ' | null' : ''}`, value: its }
  if (type === 'ggml_type')
    return { text: `${its}: TensorTypeName`, value: `typeNumber(${label}, ${its})` }
  const known = enums.find(([, c]) => c === type)
  if (known)
    return {
      text: `${its}: ${known[0]}`,
      value: `choice(${label}, ${its}, numbers.${known[0]})`,
    }
  if (type === 'bool') return { text: `${its}: boolean`, value: its }
  if (/\*|\[\]/.test(type)) return { text: `${its}: readonly number[]`, value: its }
  return { text: `${its}: number`, value: its }
}

function method({ name, parameters, comment }, { optional, changes }) {
  const its = parameters.map((parameter, i) => parameterOf(parameter, i === optional))
  const lines = [`\`${name}\``, ...comment.replaceAll('*/', '* /').split('\n')].filter(Boolean)
  const doc =
    lines.length === 1
      ? `  /** ${lines[0]} */`
      : `  /**\n${lines.map((line) => `   * ${line}`).join('\n')}\n   */`
  const call = `this.run('${name}', [${its.map(({ value }) => value).join(', ')}])`
  return `${doc}\n  ${methodName(name)}(${its.map(({ text }) => text).join(', ')}): Tensor {
    ${changes ? `${call}\n    return ${camel(parameters[0].name)}` : `return ${call}`}
  }\n`
}

/** The text of lib/ggml/operations.ts. */
export function operationsText() {
  const table = new Map(readTable().map((row) => [row.name, row]))
  const seen = new Set()
  const functions = readHeader().filter(
    ({ name }) => table.has(name) && !seen.has(name) && seen.add(name),
  )
  const numbers = enums.map(
    ([name, c, prefix]) => `  ${name}: ${JSON.stringify(readEnum(c, prefix))},`,
  )
  const types = enums.map(
    ([name, c]) =>
      `/** \`enum ${c}\` of ggml.h. */\nexport type ${name} = keyof (typeof numbers)['${name}']`,
  )
  const source = `// operations.ts: made by scripts/make-ggml-operations.mjs out of ggml.h, whose comments these are; not edited by hand.

import { choice } from './choices.js'
import type { Tensor } from './tensor.js'
import { type TensorTypeName, typeNumber } from './types.js'

const numbers = {
${numbers.join('\n')}
} as const

${types.join('\n')}

/**
 * ggml's operations. Each makes a tensor of the context that it is called on, or changes one; nothing is computed until a graph is.
 *
 * Errors: \`ERR_TENSOR_SHAPE\`, \`ERR_TENSOR_TYPE\`, \`ERR_TENSOR_MEMORY\`, \`ERR_TENSOR_FOREIGN\`, \`ERR_TENSOR_BUSY\`, \`ERR_TENSOR_CLOSED\`,
 * \`ERR_OPTION_INVALID\`.
 */
export abstract class Operations {
  /** @internal */
  protected abstract run(name: string, values: unknown[]): Tensor

${functions.map((f) => method(f, table.get(f.name))).join('\n')}}
`
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')
  const { stdout, status, stderr } = spawnSync(
    process.execPath,
    [biome, 'format', `--stdin-file-path=${operationsFile}`],
    { input: source, cwd: root, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(stderr)
  return stdout
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(operationsFile, operationsText())
  console.log(`wrote ${operationsFile}`)
}
