// pin.ts: the beginning that many conversations share, computed once and kept.

import {
  type ChatMessage,
  checkMessages,
  nativeChatInput,
  type TemplateOptions,
  templateRules,
} from './chat.js'
import { SottoError } from './errors.js'
import type { NativeModel } from './native.js'
import { abortSignal, checkOptions, checkText, type OptionRules, text } from './options.js'
import { outcome } from './outcome.js'
import type { RequestRouter } from './request-router.js'

export interface PinOptions extends Omit<TemplateOptions, 'addGenerationPrompt'> {
  /** The first message, of role system. */
  system?: string
  /** Messages that every conversation begins with, such as examples. */
  messages?: ChatMessage[]
  /** Stops it; it rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
}

const { addGenerationPrompt: _, ...rules } = templateRules
const pinRules: OptionRules<PinOptions> = {
  ...rules,
  system: text(),
  messages: {
    expected: 'an array of messages',
    accepts: (value): value is ChatMessage[] => Array.isArray(value),
  },
  signal: abortSignal(),
}

// What a user may begin with: the tokenizer joins some of it with what the template has before it, and that is not pinned.
const beginnings = ['a', 'A', '1', ' a', '\na', '"a', '.a', '\u00e9', '\u65e5', '<']

/** A prefix that stays in a model's KV cache until it is closed. Made by `model.pin`. */
export class PinnedPrefix implements Disposable {
  /** How many tokens are pinned. */
  readonly tokens: number
  #unpin: (() => void) | undefined

  /** @internal */
  constructor(tokens: number, unpin: () => void) {
    this.tokens = tokens
    this.#unpin = unpin
  }

  /** Gives its part of the cache back. Conversations that use it go on. May be called any number of times, and after `model.close()`. */
  close(): void {
    this.#unpin?.()
    this.#unpin = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** @internal */
export async function pin(
  native: NativeModel,
  router: RequestRouter,
  given: unknown,
): Promise<PinnedPrefix> {
  const { system, messages, signal, ...template } = checkOptions<PinOptions>(
    'options',
    given,
    pinRules,
  )
  const all = checkMessages('messages', messages ?? []).slice()
  if (system !== undefined) all.unshift({ role: 'system', content: checkText('system', system) })
  const chats = beginnings.map((content) =>
    nativeChatInput([...all, { role: 'user', content }], template),
  )
  const { id, result } = await outcome(native, router, (id) => native.pin({ id, chats }), {
    signal,
    aborted: 'Pinning was aborted',
  })
  if (result.finishReason !== 'length') {
    throw new SottoError(
      'ERR_CONTEXT_FULL',
      `Expected room for a prefix of ${result.tokensPrompt} tokens, received a full context: load the model with a larger contextSize`,
    )
  }
  return new PinnedPrefix(result.tokensPrompt, () => native.unpin(id))
}
