// home.ts: where sotto keeps what it downloads and remembers.

import { join } from 'node:path'
import envPaths from 'env-paths'

/** `SOTTO_HOME`, or the cache folder that the platform sets aside. */
export function homeFolder(): string {
  return process.env['SOTTO_HOME'] || envPaths('sotto', { suffix: '' }).cache
}

/** Where complete models lie. */
export function storeFolder(): string {
  return join(homeFolder(), 'models')
}
