// cache.ts: sotto cache: the packed weights that loads left for the next ones.

import { clearPacked, listPacked } from '../../models/packed-cache.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { size } from '../size.js'

export async function cache(
  action: 'list' | 'clear',
  { json }: { json?: boolean },
): Promise<ExitCode> {
  const files = action === 'clear' ? await clearPacked() : await listPacked()
  if (json) {
    await writeJson({ [action === 'clear' ? 'removed' : 'files']: files })
    return exitCodes.ok
  }
  for (const { path, bytes, usedAt } of files) {
    const when = usedAt.toISOString().slice(0, 16).replace('T', ' ')
    await write(`${printable(`${size(bytes).padStart(9)}  used ${when}  ${path}`)}\n`)
  }
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  await write(
    `${size(total)} in ${files.length} ${files.length === 1 ? 'file' : 'files'}${action === 'clear' ? ', removed' : ''}\n`,
  )
  return exitCodes.ok
}
