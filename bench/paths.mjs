// paths.mjs: where the bench keeps what it builds, makes and writes.

import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const here = dirname(fileURLToPath(import.meta.url))
export const root = join(here, '..')
export const upstream = (name, isa = '') => join(here, `build${isa && `-${isa}`}`, 'bin', name)
