// context-options.ts: what one can ask of a cache of conversations, and what it says.

import { createSecretKey, KeyObject } from 'node:crypto'
import { SottoError } from '../errors.js'
import { callback, checkOptions, flag, integer, number, text } from '../options.js'

export interface ContextCacheOptions {
  /** Where conversations go that leave memory; made for its owner alone (0700, files 0600). Without one they are dropped. */
  folder?: string
  /** 32 bytes: files are encrypted with AES-256-GCM. Bytes or a secret KeyObject, since strings cannot be wiped. */
  key?: Uint8Array | KeyObject
  /** Tokens of idle conversations in memory. Default half of `info.contextSize`. */
  maxTokens?: number
  /** Bytes of their keys and values. Default: no limit but that of tokens. */
  maxBytes?: number
  /**
   * Overwrite keys and values that leave memory, and every other free cell of the cache, with zeros; not scratch memory of computations, nor
   * of Node's cipher. Takes milliseconds for each conversation that leaves. Not for recurrent models. Default false.
   */
  wipe?: boolean
  /** Hears what happens to conversations. */
  onEvent?: (event: ContextCacheEvent) => void
}

/**
 * What happened to a conversation: it left memory for a file (`spilled`), was written and stays (`saved`), came back from a file (`restored`), left memory and
 * will be computed again (`dropped`), or a file of it was of no use (`refused`); `error` says why.
 */
export interface ContextCacheEvent {
  type: 'spilled' | 'saved' | 'restored' | 'dropped' | 'refused'
  id: string
  principal: string
  /** Tokens that were kept. */
  tokens: number
  error?: SottoError
}

/** @internal Options that were checked. */
export type CheckedContextOptions = Omit<ContextCacheOptions, 'key'> & { key?: KeyObject }

/** @internal Errors: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`. */
export function checkContextOptions(given: unknown, what = 'options'): CheckedContextOptions {
  const { key, ...others } = (given ?? {}) as ContextCacheOptions
  const options = checkOptions<Omit<ContextCacheOptions, 'key'>>(what, others, {
    folder: text(),
    maxTokens: integer(0, 2 ** 31 - 1),
    maxBytes: number(0, Number.MAX_VALUE),
    wipe: flag(),
    onEvent: callback(),
  })
  const read = readKey(key)
  return { ...options, ...(read && { key: read }) }
}

export function invalid(message: string): SottoError {
  return new SottoError('ERR_OPTION_INVALID', message)
}

// Without a word of what was given: it may be a key in another form.
function readKey(key: unknown): KeyObject | undefined {
  if (key === undefined) return undefined
  if (key instanceof KeyObject && key.type === 'secret' && key.symmetricKeySize === 32) return key
  if (key instanceof Uint8Array && key.length === 32) return createSecretKey(key)
  throw invalid(
    'Expected options.key to be 32 bytes, as a Uint8Array or a secret KeyObject, received something else',
  )
}
