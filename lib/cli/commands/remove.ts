// remove.ts: sotto remove

import { SottoError } from '../../errors.js'
import { removeModel } from '../../models/store.js'
import { type ExitCode, exitCodes } from '../exit-code.js'

export async function remove(name: string): Promise<ExitCode> {
  if (await removeModel(name)) return exitCodes.ok
  throw new SottoError(
    'ERR_MODEL_NOT_FOUND',
    `Expected the name of a stored model, received ${JSON.stringify(name)}: see sotto list`,
  )
}
