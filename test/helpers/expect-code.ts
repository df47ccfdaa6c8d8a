// expect-code.ts: a failure must be a SottoError with this code.

import { expect } from 'vitest'
import { type ErrorCode, SottoError } from '../../lib/errors.js'

export async function expectCode(code: ErrorCode, action: () => unknown): Promise<SottoError> {
  try {
    await action()
  } catch (error) {
    expect(error).toBeInstanceOf(SottoError)
    expect(error).toMatchObject({ code })
    expect((error as Error).message.length).toBeGreaterThan(10)
    return error as SottoError
  }
  throw new Error(`Expected ${code}, nothing was thrown`)
}
