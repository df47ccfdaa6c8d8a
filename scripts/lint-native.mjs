// lint-native.mjs: clang-format and clang-tidy over our C++, where they are installed; CI has them. The room of ggml's guests is
// written as ggml is, so only clang-tidy reads it.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildFolder } from './native.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const rooms = ['native/base', 'native/engine', 'native/tensor', 'native/binding', 'test/native']
const list = (room) =>
  readdirSync(join(root, room))
    .filter((name) => /\.(h|cpp)$/.test(name))
    .map((name) => `${room}/${name}`)
const files = rooms.flatMap(list)
let failed = false

function lint(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error)
    console.error(
      `${command} was not found (Debian: apt-get install ${command}); C++ not checked by it`,
    )
  failed ||= error !== undefined || status !== 0
}

lint('clang-format', ['--dry-run', '-Werror', ...files])
if (!process.argv.includes('--format-only')) {
  // A build leaves out the kernels of other CPUs, which do not compile here.
  const database = join(buildFolder({}), 'compile_commands.json')
  const built = existsSync(database) ? readFileSync(database, 'utf8') : undefined
  const units = [...files, ...list('native/backends/cpu-kernels')].filter(
    (name) =>
      name.endsWith('.cpp') && !name.startsWith('test/') && (!built || built.includes(`/${name}"`)),
  )
  const xargs = spawnSync(
    'xargs',
    [
      '-P',
      String(availableParallelism()),
      '-n',
      '4',
      'clang-tidy',
      '--quiet',
      '-p',
      buildFolder({}),
    ],
    {
      cwd: root,
      input: units.join('\n'),
      stdio: ['pipe', 'inherit', 'pipe'],
      encoding: 'utf8',
    },
  )
  if (xargs.status !== 0)
    console.error(
      xargs.stderr
        .split('\n')
        .filter((line) => /error|warning:/.test(line))
        .join('\n'),
    )
  failed ||= xargs.status !== 0
}
process.exitCode = failed ? 1 : 0
