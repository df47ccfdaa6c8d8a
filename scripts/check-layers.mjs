// check-layers.mjs: the arrows of lib/README.md: who may import whom. Prints every import that points the wrong way.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const lib = join(dirname(fileURLToPath(import.meta.url)), '..', 'lib')

/** The room of a file: its folder, or `core` for lib/*.ts; a few files are rooms of their own. */
function roomOf(file) {
  if (['errors.ts', 'index.ts', 'native.ts', 'options.ts'].includes(file)) return file.slice(0, -3)
  return file.includes('/') ? file.split('/')[0] : 'core'
}

/** What each room may import, beside itself. */
const allowed = {
  errors: [],
  options: ['errors'],
  native: ['errors'],
  gguf: ['errors', 'options'],
  models: ['errors', 'options', 'gguf'],
  core: ['errors', 'options', 'native', 'gguf', 'models'],
  ggml: ['errors', 'options', 'native', 'gguf', 'models', 'core'],
  manager: ['errors', 'options', 'native', 'gguf', 'core'],
  index: ['errors', 'gguf', 'models', 'core', 'manager'], // re-exports
  cli: ['errors', 'options', 'gguf', 'models', 'core', 'manager'],
}

const wrong = []
for (const name of readdirSync(lib, { recursive: true })) {
  if (!name.endsWith('.ts')) continue
  const file = name.replaceAll('\\', '/')
  const room = roomOf(file)
  for (const [, specifier] of readFileSync(join(lib, name), 'utf8').matchAll(
    /(?:from|import\()\s*'(\.[^']+)'/g,
  )) {
    const target = relative(
      '.',
      posix.normalize(posix.join(posix.dirname(file), specifier)),
    ).replace(/\.js$/, '.ts')
    if (target.startsWith('..')) continue // package.json
    const other = roomOf(target)
    if (other !== room && !allowed[room]?.includes(other))
      wrong.push(`lib/${file} (${room}) imports lib/${target} (${other})`)
  }
  if (room !== 'native' && /\.node['"]/.test(readFileSync(join(lib, name), 'utf8')))
    wrong.push(`lib/${file} loads an addon`)
}
console.log(wrong.length === 0 ? 'layers: every import points the right way' : wrong.join('\n'))
process.exitCode = wrong.length === 0 ? 0 : 1
