// check-native.mjs: the two sides of the border say the same: the signature above each bound C++ method stands in lib/native.ts,
// and every error code of C++ stands in lib/errors.ts.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

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
console.log(
  problems.length === 0
    ? `native: ${bound.size} signatures and all error codes agree`
    : problems.join('\n'),
)
process.exitCode = problems.length === 0 ? 0 : 1
