// prebuild.mjs: fills prebuilds/<platform>-<arch>/ with the addon and, beside it, ggml's libraries: one CPU backend for each
// instruction set, of which ggml loads the best that this processor has. prebuildify names and lays out; it would call node-gyp
// and wipe build/, so it works in a scratch folder and is given a program that copies what cmake-js has built.

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildNative, readOptions } from './native.mjs'
import { StepError } from './progress.mjs'
import { vendor } from './vendor.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)

async function prebuild() {
  await vendor()
  const built = await buildNative({ ...readOptions(process.argv.slice(2)), SOTTO_PREBUILD: 'ON' })
  const scratch = mkdtempSync(join(tmpdir(), 'sotto-prebuild-'))
  try {
    cpSync(join(root, 'package.json'), join(scratch, 'package.json'))
    writeFileSync(join(scratch, 'binding.gyp'), '{}')
    const nodeGyp = join(scratch, 'node-gyp')
    writeFileSync(
      nodeGyp,
      `#!/bin/sh\nmkdir -p build/Release && cp ${JSON.stringify(join(built, 'Release'))}/* build/Release/\n`,
    )
    chmodSync(nodeGyp, 0o755)
    const { status } = spawnSync(
      process.execPath,
      [
        require.resolve('prebuildify/bin.js'),
        '--napi',
        '--strip',
        ...(process.platform === 'linux' ? ['--tag-libc'] : []),
        '--node-gyp',
        nodeGyp,
        '--target',
        process.versions.node,
      ],
      { cwd: scratch, stdio: 'inherit' },
    )
    if (status !== 0) throw new StepError('Prebuilding', `prebuildify ended with ${status}`)
    const made = join(scratch, 'prebuilds')
    const [platform] = readdirSync(made)
    // npm leaves symbolic links out of a tarball: every library is a file, under the name its loader asks for.
    const files = readdirSync(join(built, 'Release')).filter((name) =>
      /\.(so(\.\d+)?|dylib|dll)$/.test(name),
    )
    for (const file of files) {
      const target = join(made, platform, file)
      cpSync(join(built, 'Release', file), target, { dereference: true })
      if (process.platform !== 'win32') spawnSync('strip', ['-x', target], { stdio: 'ignore' })
    }
    if (!readdirSync(join(made, platform)).some((name) => name.endsWith('.node')))
      throw new StepError('Prebuilding', 'there is no addon')
    const target = join(root, 'prebuilds', platform)
    if (existsSync(target)) rmSync(target, { recursive: true })
    cpSync(join(made, platform), target, { recursive: true })
    console.log(`${target}: ${readdirSync(target).join(' ')}`)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

await prebuild().catch((error) => {
  console.error(error instanceof StepError ? error.message : error)
  process.exitCode = 1
})
