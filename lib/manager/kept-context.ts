// kept-context.ts: one conversation of a cache, and where what was computed of it is.

import type { StartAnswer } from '../chat.js'
import { SottoError } from '../errors.js'
import type { ChatName } from './chat-folder.js'
import { invalid } from './context-options.js'
import type { KeptChat } from './kept-chat.js'

export type Request = Parameters<StartAnswer>[0]

/** One conversation, and where what was computed of it is. */
export interface Kept {
  id: string
  principal: string
  /** In native code. */
  context: number
  chat: WeakRef<KeptChat>
  place: 'nowhere' | 'memory' | 'disk'
  tokens: number
  bytes: number
  answering: boolean
  /** Native code has put it aside for want of room. */
  parked: boolean
  /** The last thing that moves it between places. */
  moving: Promise<void> | undefined
  restoring: boolean
  /** Its request waits for what is brought from disk. */
  coming: boolean
  /** Whose file to go on from, as long as it has none of its own. */
  parent: Kept | undefined
}

/** @internal What a model has computed of a conversation, for who has its words. */
export interface KeptContext {
  readonly kept: Kept
  /** Its turn: the request as the model is to have it. `end` follows, or `fail` where nobody could be asked. */
  begin(request: Request): Request
  end(): void
  fail(): void
  reset(): void
  save(): Promise<void>
  /** Lets go of it, and writes nothing from then on. */
  forget(): Promise<void>
  /** Lets go of it. Resolves with whether a file has all of it now. Never rejects. */
  leave(): Promise<boolean>
}

export function newKept({ id, principal }: ChatName): Kept {
  return {
    ...{ id, principal, context: 0, place: 'nowhere', tokens: 0, bytes: 0, answering: false },
    ...{ parked: false, moving: undefined, restoring: false, coming: false, parent: undefined },
    chat: undefined as unknown as WeakRef<KeptChat>, // who has made it has it
  }
}

/** @internal Errors: `ERR_CHAT_BUSY`. */
export function assertIdle({ answering }: { answering: boolean }): void {
  if (!answering) return
  throw new SottoError(
    'ERR_CHAT_BUSY',
    'Expected no answer to be written: await the result of the last send()',
  )
}

/** @internal */
export function notIts(): SottoError {
  return invalid('Expected the principal that the conversation was opened with')
}

/** One thing at a time moves it. Never rejects. */
export function move(kept: Kept, action: () => Promise<void>): Promise<void> {
  const moving = (kept.moving ?? Promise.resolve()).then(action).finally(() => {
    if (kept.moving === moving) kept.moving = undefined
  })
  kept.moving = moving
  return moving
}

/** Of a conversation in a cache. */
export function nameOf(principal: string, id: string): string {
  return `${principal.length} ${principal}${id}`
}
