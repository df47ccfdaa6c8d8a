// embed.ts: sotto embed

import { SottoError } from '../../errors.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { readStdin } from '../input.js'
import { Interrupt } from '../interrupt.js'
import { type LoadFlags, openModel } from '../open-model.js'
import { write, writeJson } from '../output.js'

interface EmbedFlags extends LoadFlags {
  normalize: boolean
  truncate?: boolean
  json?: boolean
}

const batch = 64 // the first vectors of a long list come before the last

export async function embed(name: string, given: string[], flags: EmbedFlags): Promise<ExitCode> {
  using interrupt = new Interrupt()
  const { signal } = interrupt
  try {
    const texts = given.length > 0 ? given : lines(await readStdin('texts, one a line', signal))
    if (texts.length === 0)
      throw new SottoError(
        'ERR_PROMPT_INVALID',
        'Expected texts as arguments or as lines on stdin, received none',
      )
    await using model = await openModel(name, flags, signal)
    const options = { normalize: flags.normalize, truncate: flags.truncate, signal }
    const all: number[][] = []
    for (let at = 0; at < texts.length; at += batch) {
      const vectors = await model.embed(texts.slice(at, at + batch), options)
      const rows = vectors.map((vector) => Array.from(vector, shortest))
      if (flags.json) all.push(...rows)
      else for (const row of rows) await write(`${row.join(' ')}\n`)
    }
    if (flags.json) await writeJson(all)
    return exitCodes.ok
  } catch (error) {
    if (!interrupt.happened) throw error
    return exitCodes.interrupted
  }
}

function lines(text: string): string[] {
  return text.split(/\r?\n/).filter((line) => line !== '')
}

// Nine digits hold every 32-bit float; its 64-bit form would print seventeen.
function shortest(value: number): number {
  return Number(value.toPrecision(9))
}
