// broken.ts: the error for a model that native code would end the process over.

import { SottoError } from '../errors.js'

export function broken(what: string): SottoError {
  return new SottoError(
    'ERR_MODEL_FORMAT',
    `Expected a model that native code can load, found ${what}`,
  )
}
