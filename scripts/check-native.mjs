// check-native.mjs: the two sides of the border say the same: the signature above each bound C++ method stands in lib/native.ts,
// every error code of C++ stands in lib/errors.ts, and every function of ggml.h that makes a tensor stands in the table of operations or
// among those that are refused, with its parameters, and in lib/ggml/operations.ts.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readHeader, readTable, refused } from './ggml-header.mjs'
import { operationsFile, operationsText } from './make-ggml-operations.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const read = (...path) => readFileSync(join(root, ...path), 'utf8')
const squeeze = (text) => text.replace(/\s+/g, '').replace(/,\)/g, ')')
const problems = []

// The interfaces of the addon's classes and functions; parentheses nest at most three deep in them.
const native = read('lib', 'native.ts')
const interfaces = native.slice(
  native.indexOf('export interface NativeAbortFlag'),
  native.indexOf('const require ='),
)
const signatures = /^ {2,4}(\w+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\): [^\n]+)$/gm
const declared = new Set(
  [...interfaces.matchAll(signatures)].map(([, signature]) => squeeze(signature)),
)
const bound = new Set()
const binding = join(root, 'native', 'binding')
for (const name of readdirSync(binding).filter((file) => file.endsWith('.cpp'))) {
  for (const [, signature] of readFileSync(join(binding, name), 'utf8').matchAll(
    /^\s*\/\/ (\w+\(.*\): .+)$/gm,
  )) {
    bound.add(squeeze(signature))
    if (!declared.has(squeeze(signature)))
      problems.push(`native/binding/${name}: ${signature} is not declared so in lib/native.ts`)
  }
}
for (const signature of declared)
  if (!bound.has(signature))
    problems.push(`lib/native.ts: ${signature} has no method in native/binding`)

const codes = read('lib', 'errors.ts')
for (const [, code] of read('native', 'base', 'error-codes.h').matchAll(/"(ERR_\w+)"/g)) {
  if (!codes.includes(`  ${code}:`))
    problems.push(`native/base/error-codes.h: ${code} is not documented in lib/errors.ts`)
}

const header = new Map(readHeader().map((its) => [its.name, its]))
const table = readTable()
const inTable = new Set(table.map(({ name }) => name))
for (const { name } of header.values()) {
  if (inTable.has(name) === Object.hasOwn(refused, name))
    problems.push(
      `ggml.h: ${name} belongs into native/tensor/operations.cpp or among the refused of scripts/ggml-header.mjs`,
    )
}
for (const name of Object.keys(refused))
  if (!header.has(name)) problems.push(`scripts/ggml-header.mjs: ggml.h has no ${name}`)
for (const { symbol, name, parameters } of table) {
  const declared = header.get(name)?.parameters.map((parameter) => parameter.name)
  if (symbol !== name || declared?.join(' ') !== parameters.join(' '))
    problems.push(`native/tensor/operations.cpp: ${name}(${parameters}) is ${declared} in ggml.h`)
}
if (readFileSync(operationsFile, 'utf8') !== operationsText())
  problems.push('lib/ggml/operations.ts: run node scripts/make-ggml-operations.mjs')

console.log(
  problems.length === 0
    ? `native: ${bound.size} signatures, ${table.length} operations and all error codes agree`
    : problems.join('\n'),
)
process.exitCode = problems.length === 0 ? 0 : 1
