// smoke.mjs: the package as its users get it: packed, installed into an empty folder with no compiler on the PATH and no
// network, loaded by import and by require, under every Node we support. And without a prebuilt addon: one plain sentence.

import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeTinyModel } from './make-tiny-model.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const work = mkdtempSync(join(tmpdir(), 'sotto-smoke-'))
const count = { passed: 0, failed: 0 }

function run(command, args, options) {
  return spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26, ...options })
}

function check(title, { status, stdout, stderr }, expected) {
  const good = expected(status, stdout, stderr)
  count[good ? 'passed' : 'failed']++
  console.log(`${good ? 'ok' : 'FAILED'}: ${title}`)
  if (!good) console.log(`exit ${status}\n${stdout}\n${stderr}`)
}

/** A PATH with node, npm and a shell, and no compiler. */
function barePath() {
  const bin = join(work, 'bin')
  mkdirSync(bin)
  const npm = run('sh', ['-c', 'command -v npm']).stdout.trim()
  symlinkSync(process.execPath, join(bin, 'node'))
  symlinkSync(npm, join(bin, 'npm'))
  symlinkSync('/bin/sh', join(bin, 'sh'))
  return bin
}

const program = (load) => `
${load}
async function main() {
  const model = await loadModel(${JSON.stringify(join(work, 'tiny.gguf'))})
  const { usage } = await model.complete('Once', { maxTokens: 5, ignoreEos: true }).result
  const { cpu } = systemInfo()
  await model.close()
  console.log(usage.tokensGenerated, cpu.variant, cpu.kernels, typeof readGguf)
  // Each CPU module must carry our kernels.
  if (cpu.features.includes('AVX2') && cpu.kernels === 'off') process.exitCode = 3
}
main()
`

try {
  if (!existsSync(join(root, 'prebuilds')))
    throw new Error('There are no prebuilds: npm run prebuild makes them')
  makeTinyModel(join(work, 'tiny.gguf'))
  const packed = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', work], {
    cwd: root,
  })
  if (packed.status !== 0) throw new Error(packed.stderr)
  const tarball = join(
    work,
    readdirSync(work).find((name) => name.endsWith('.tgz')),
  )

  // What a user's npm has in its cache by other means: the packages that ours depends on.
  const cache = join(work, 'cache')
  mkdirSync(join(work, 'prime'))
  run('npm', ['install', '--ignore-scripts', '--cache', cache, tarball], {
    cwd: join(work, 'prime'),
  })

  const empty = join(work, 'empty')
  mkdirSync(empty)
  writeFileSync(join(empty, 'package.json'), '{"name":"app","version":"1.0.0"}')
  const bare = {
    cwd: empty,
    env: {
      PATH: barePath(),
      HOME: work,
      // The cache is keyed by the registry's address; --offline and a dead proxy keep npm from asking it.
      npm_config_registry: run('npm', ['config', 'get', 'registry']).stdout.trim(),
      npm_config_https_proxy: 'http://127.0.0.1:9/',
      npm_config_cache: cache,
    },
  }
  const installed = run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], bare)
  check(
    'npm installs it without a compiler and without a network',
    installed,
    (status) => status === 0,
  )

  writeFileSync(
    join(empty, 'esm.mjs'),
    program("import { loadModel, systemInfo } from 'sotto'\nimport { readGguf } from 'sotto/gguf'"),
  )
  writeFileSync(
    join(empty, 'cjs.cjs'),
    program(
      "const { loadModel, systemInfo } = require('sotto')\nconst { readGguf } = require('sotto/gguf')",
    ),
  )
  const works = (status, stdout, stderr) =>
    status === 0 && /^5 \w+ \w+ function\n$/.test(stdout) && stderr === ''
  const esm = run('node', ['esm.mjs'], bare)
  check(
    `import works (CPU variant ${esm.stdout.split(' ').slice(1, 3).join(', kernels ')})`,
    esm,
    works,
  )
  check('require works', run('node', ['cjs.cjs'], bare), works)
  check(
    'the command works',
    run('node', ['node_modules/sotto/dist/cli/main.js', 'system', '--json'], bare),
    (status, stdout) => status === 0 && JSON.parse(stdout).cpu.variant !== 'native',
  )

  for (const release of ['22', '24']) {
    const folder = join(work, `node-${release}`)
    mkdirSync(folder)
    const fetched = run('npm', ['install', '--prefix', folder, '--no-audit', `node@${release}`])
    if (fetched.status !== 0) throw new Error(fetched.stderr)
    const node = join(folder, 'node_modules', 'node', 'bin', 'node')
    check(`the same files work under Node ${release}`, run(node, ['esm.mjs'], bare), works)
  }

  const prebuilds = join(empty, 'node_modules', 'sotto', 'prebuilds')
  if (process.platform === 'linux')
    check(
      'none of its libraries registers a static destructor',
      run('sh', ['-c', 'nm -D --undefined-only "$0"/*/*', prebuilds]),
      (status, stdout) => status === 0 && /libllama/.test(stdout) && !/atexit/.test(stdout),
    )

  rmSync(prebuilds, { recursive: true })
  check(
    'without a prebuilt addon and a compiler it says one sentence',
    run('node', ['scripts/install.mjs'], { ...bare, cwd: join(empty, 'node_modules', 'sotto') }),
    (status, _, stderr) =>
      status === 1 && /^sotto has no prebuilt addon for [^\n]+\n$/.test(stderr),
  )
  writeFileSync(
    join(empty, 'missing.mjs'),
    "import { systemInfo } from 'sotto'\ntry { systemInfo() } catch (error) { console.log(error.code) }",
  )
  check(
    'and the library ERR_NATIVE_MISSING',
    run('node', ['missing.mjs'], bare),
    (status, stdout) => status === 0 && stdout === 'ERR_NATIVE_MISSING\n',
  )
} catch (error) {
  count.failed++
  console.log(error.message)
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.log(`${count.passed} passed, ${count.failed} failed, 0 skipped`)
process.exitCode = count.failed > 0 ? 1 : 0
