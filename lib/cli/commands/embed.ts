// embed.ts: sotto embed

import type { ExitCode } from '../main.js'
import { type LoadFlags, openModel, readStdin } from '../open-model.js'

export async function embed(name: string, given: string[], flags: LoadFlags & { json?: boolean }): Promise<ExitCode> {
  const texts = given.length > 0 ? given : (await readStdin()).split('\n').filter((line) => line !== '')
  await using model = await openModel(name, flags)
  const rows = await model.embed(texts)
  if (flags.json) process.stdout.write(`${JSON.stringify(rows.map((row) => [...row]))}\n`)
  else for (const row of rows) process.stdout.write(`${row.join(' ')}\n`)
  return 0
}
