// list.ts: sotto list

import { catalog } from '../../models/catalog.js'
import { listModels } from '../../models/store.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { size } from '../size.js'

export async function list({ json }: { json?: boolean }): Promise<ExitCode> {
  const stored = await listModels()
  const names = new Set(stored.map(({ name }) => name))
  const available = Object.values(catalog).filter(({ name }) => !names.has(name))
  if (json) {
    await writeJson({ stored, available })
    return exitCodes.ok
  }
  const rows = [
    ...stored.map(({ name, bytes, path }) => [name, size(bytes), path] as const),
    ...available.map(
      ({ name, bytes, title, license }) =>
        [name, size(bytes), `not pulled: ${title}, ${license}`] as const,
    ),
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  for (const [name, bytes, rest] of rows)
    await write(`${printable(`${name.padEnd(width)}  ${bytes.padStart(9)}  ${rest}`)}\n`)
  return exitCodes.ok
}
