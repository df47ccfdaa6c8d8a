// list.ts: sotto list

import { catalog } from '../../models/catalog.js'
import { listModels } from '../../models/store.js'
import type { ExitCode } from '../main.js'
import { megabytes } from '../progress.js'

export async function list(options: { json?: boolean }): Promise<ExitCode> {
  const stored = await listModels()
  const names = new Set(stored.map(({ name }) => name))
  const available = Object.values(catalog).filter(({ name }) => !names.has(name))
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ stored, available })}\n`)
    return 0
  }
  for (const { name, bytes, path } of stored) process.stdout.write(`${name}  ${megabytes(bytes)}  ${path}\n`)
  for (const { name, bytes, title, license } of available) {
    process.stdout.write(`${name}  ${megabytes(bytes)}  not pulled: ${title}, ${license}\n`)
  }
  return 0
}
