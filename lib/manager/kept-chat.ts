// kept-chat.ts: a conversation that a cache keeps: a chat with a name, whose past is not computed again.

import { Chat, type ChatOptions, type StartAnswer } from '../chat.js'

/** @internal What a kept chat asks of its cache. */
export interface ChatKeeper {
  readonly id: string
  readonly start: StartAnswer
  save(): Promise<void>
  fork(id: string | undefined, options: ChatOptions): KeptChat
  reset(): void
  close(): Promise<void>
}

/** A conversation that a {@link ContextCache} or a {@link ModelManager} keeps; made by `open` and `openChat`. */
export class KeptChat extends Chat {
  readonly #keeper: ChatKeeper

  /** @internal */
  constructor(keeper: ChatKeeper, options: ChatOptions) {
    super(keeper.start, options)
    this.#keeper = keeper
  }

  /** The name that it was opened under. */
  get id(): string {
    return this.#keeper.id
  }

  /**
   * Writes it to the cache's folder: what was said, and what was computed of it. It stays in memory too.
   *
   * Errors: `ERR_CHAT_BUSY` while an answer is being written, `ERR_OPTION_INVALID` without a folder, `ERR_DISK`, `ERR_CACHE_CLOSED`,
   * `ERR_MODEL_CLOSED`, `ERR_MANAGER_CLOSED`.
   */
  save(): Promise<void> {
    return this.#keeper.save()
  }

  /**
   * Takes it out of memory: it is written to the folder, or what was computed of it is dropped. Its next turn brings it back; so does opening
   * it again. May be called twice. Errors: `ERR_CHAT_BUSY` while an answer is being written.
   */
  close(): Promise<void> {
    return this.#keeper.close()
  }

  /**
   * A second conversation with the same past, under a name of its own; a random one by default. It shares what was computed.
   *
   * Errors: `ERR_OPTION_INVALID` when the name is taken, `ERR_CACHE_CLOSED`, `ERR_MANAGER_CLOSED`.
   */
  override fork(id?: string): KeptChat {
    return this.#keeper.fork(id, { ...this.defaults, messages: this.history })
  }

  override reset(): void {
    super.reset()
    this.#keeper.reset()
  }
}
