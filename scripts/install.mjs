// install.mjs: what npm runs when somebody installs the package. A prebuilt addon for this platform: done, nothing is compiled
// and nothing is downloaded. None: a source build with our options. No compiler: one sentence.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)

function hasPrebuilt() {
  try {
    require(require('node-gyp-build').path(root))
    return true
  } catch {
    return false
  }
}

function found(command) {
  return !spawnSync(command, ['--version'], { stdio: 'ignore' }).error
}

// A checkout has bootstrap.mjs, the package has not: there, `npm start` and `npm test` build.
if (!existsSync(join(root, 'scripts', 'bootstrap.mjs')) && !hasPrebuilt()) {
  const platform = `${process.platform}-${process.arch}`
  const missing = ['cmake', ...(process.platform === 'win32' ? [] : ['c++'])].filter(
    (command) => !found(command),
  )
  if (missing.length > 0) {
    console.error(
      `sotto has no prebuilt addon for ${platform}, and ${missing.join(' and ')} to build it was not found: ` +
        'install a C++20 compiler and cmake (Debian: apt-get install g++ cmake) and run "npm rebuild sotto".',
    )
    process.exit(1)
  }
  const { buildNative, readOptions } = await import('./native.mjs')
  try {
    await buildNative(readOptions([]), { folder: join(root, 'build') })
  } catch (error) {
    console.error(`sotto has no prebuilt addon for ${platform}. ${error.message}`)
    process.exit(1)
  }
}
