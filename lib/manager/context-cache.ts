// context-cache.ts: recent conversations of a model. They stay in its KV cache as long as there is room; the least recently used leave it
// for a file, or are dropped, and come back with their next turn. Nothing that fails on the way loses what was said.

import { randomUUID } from 'node:crypto'
import type { ChatOptions, StartAnswer } from '../chat.js'
import { SottoError } from '../errors.js'
import type { Model } from '../model.js'
import { originOf } from '../model-origin.js'
import type { NativeContextNews, NativeModel } from '../native.js'
import type { RequestRouter } from '../request-router.js'
import { ChatFolder, type ChatName } from './chat-folder.js'
import {
  type CheckedContextOptions,
  type ContextCacheEvent,
  type ContextCacheOptions,
  checkContextOptions,
  invalid,
} from './context-options.js'
import { ContextShelf } from './context-shelf.js'
import { KeptChat } from './kept-chat.js'
import {
  assertIdle,
  type Kept,
  type KeptContext,
  move,
  nameOf,
  newKept,
  notIts,
  type Request,
} from './kept-context.js'
import type { StateFile } from './state-file.js'

// Of the 24 sequences that a model remembers, these may be conversations; the rest is for what nobody has named.
const mostInMemory = 16

// A conversation whose file has all of it lives as long as somebody uses it.
const unreachable = new FinalizationRegistry<() => void>((letGo) => letGo())

/**
 * Keeps conversations of a model, by name and principal: the recent ones in memory, others in files, so that no turn computes again what was
 * computed before. A file is used for the same principal, name, model and cache types only, and for nothing when a byte of it is not what was written:
 * then the conversation is computed again. Close it before the model.
 *
 * @example
 * ```ts
 * import { ContextCache, loadModel } from 'sotto'
 * await using model = await loadModel('smollm2-135m-instruct')
 * await using cache = await ContextCache.create(model, { folder: './chats' })
 * const chat = await cache.open('anna', { system: 'Be brief.' })
 * console.log(await chat.send('Why is the sky blue?').text())
 * ```
 */
export class ContextCache implements AsyncDisposable {
  readonly #native: NativeModel
  readonly #router: RequestRouter
  readonly #model: Model
  readonly #folder: ChatFolder | undefined
  readonly #maxTokens: number
  readonly #maxBytes: number
  readonly #shelf: ContextShelf
  readonly #onEvent: ((event: ContextCacheEvent) => void) | undefined
  /** Least recently used first. */
  readonly #kept = new Map<string, Kept>()
  /** Chats of which no file has all that was said. Not in `Kept`, which the model holds. */
  readonly #held = new Map<Kept, KeptChat>()
  readonly #opening = new Map<string, Promise<KeptChat>>()
  #closing: Promise<void> | undefined

  /**
   * Errors: `ERR_OPTION_INVALID` (also: a model without `prefixCache`, or a recurrent one with `wipe`), `ERR_OPTION_UNKNOWN`, `ERR_DISK`,
   * `ERR_MODEL_CLOSED`.
   */
  static async create(model: Model, given?: ContextCacheOptions): Promise<ContextCache> {
    const cache = new ContextCache(model, checkContextOptions(given))
    await cache.#folder?.prepare()
    return cache
  }

  /** @internal Of a model whose conversations have their words elsewhere. Undefined: it can keep none. */
  static of(model: Model, options: CheckedContextOptions): ContextCache | undefined {
    const { recurrent, hybrid } = model.info
    const keeps = originOf(model.inside.native).prefixCache
    if (!keeps || (options.wipe && (recurrent || hybrid))) return undefined
    return new ContextCache(model, options)
  }

  private constructor(model: Model, options: CheckedContextOptions) {
    const { native, router } = model.inside
    this.#native = native
    this.#router = router
    this.#model = model
    this.#folder = ChatFolder.of(options)
    this.#maxTokens = options.maxTokens ?? Math.floor(model.info.contextSize / 2)
    this.#maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY
    this.#onEvent = options.onEvent
    this.#shelf = new ContextShelf(native, this.#folder, options.wipe ?? false, (...said) =>
      this.#say(...said),
    )
    if (!originOf(native).prefixCache)
      throw invalid(
        'Expected a model that was loaded with prefixCache, without which nothing is kept',
      )
    if (options.wipe && (model.info.recurrent || model.info.hybrid))
      throw invalid('Expected options.wipe to be false for a recurrent model, received true')
  }

  /**
   * The conversation of this name and `options.principal`: the one that is in use, the one in the folder, or a new one that begins with
   * `system` and `messages`. The other options are the defaults of its turns.
   *
   * Errors: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_TEMPLATE_INVALID`, `ERR_CACHE_CLOSED`, `ERR_MODEL_CLOSED`.
   */
  async open(id: string, options: ChatOptions = {}): Promise<KeptChat> {
    this.#assertOpen()
    if (typeof id !== 'string' || id === '') throw invalid('Expected the name of a conversation')
    const name = nameOf(options.principal ?? '', id)
    const known = this.#kept.get(name)?.chat.deref() ?? this.#opening.get(name)
    if (known) return known
    const opening = this.#read(id, options).finally(() => this.#opening.delete(name))
    this.#opening.set(name, opening)
    return opening
  }

  /** A conversation out of the folder, or a new one. */
  async #read(id: string, options: ChatOptions): Promise<KeptChat> {
    const named = { id, principal: options.principal ?? '', tokens: 0 }
    let file: StateFile | undefined
    try {
      file = await this.#folder?.open(named)
      if (!file) return this.#keep(id, options).chat
      const { system: _, ...others } = options
      const { chat, kept } = this.#keep(id, { ...others, messages: await file.messages() })
      kept.place = 'disk'
      kept.tokens = file.header.tokens
      return chat
    } catch (error) {
      this.#say('refused', named, error)
      return this.#keep(id, options).chat
    } finally {
      await file?.close()
    }
  }

  /**
   * @internal A conversation whose words somebody else has. `onDisk`: whether its file has all of them, or will have. `parent`: goes on
   * from what was computed of that one.
   */
  adopt(
    named: ChatName,
    chat: KeptChat,
    { onDisk, parent }: { onDisk: boolean | Promise<boolean>; parent?: KeptContext | undefined },
  ): KeptContext {
    const kept = newKept(named)
    this.#enter(kept, chat)
    kept.parent = parent?.kept
    if (onDisk === true) kept.place = 'disk'
    else if (onDisk)
      void move(kept, async () => {
        if (await onDisk) kept.place = 'disk'
      })
    return {
      kept,
      begin: (request) => this.#begin(kept, request),
      end: () => this.#end(kept),
      fail: () => this.#fail(kept),
      reset: () => this.#reset(kept),
      save: () => this.#save(kept),
      forget: () => this.#forget(kept),
      leave: async () => {
        await move(kept, () => this.#leave(kept))
        this.#letGo(kept)
        return kept.place === 'disk'
      },
    }
  }

  /** Forgets a conversation, in memory and on disk. Who still has it can go on; nothing of it is kept any more. Errors: `ERR_DISK`. */
  async remove(id: string, { principal = '' }: { principal?: string } = {}): Promise<void> {
    this.#assertOpen()
    const name = nameOf(principal, id)
    await this.#opening.get(name)?.catch(() => {})
    const kept = this.#kept.get(name)
    if (kept) await this.#forget(kept)
    await this.#folder?.remove({ principal, id })
  }

  async #forget(kept: Kept): Promise<void> {
    this.#kept.delete(nameOf(kept.principal, kept.id))
    await kept.moving
    this.#letGo(kept)
  }

  /** Conversations in memory: how many, their tokens, and bytes of their keys and values. */
  get inMemory(): { conversations: number; tokens: number; bytes: number } {
    const all = [...this.#kept.values()].filter(({ place }) => place === 'memory')
    const sum = (of: (kept: Kept) => number) => all.reduce((total, kept) => total + of(kept), 0)
    return {
      conversations: all.length,
      tokens: sum(({ tokens }) => tokens),
      bytes: sum(({ bytes }) => bytes),
    }
  }

  /**
   * Writes what is in memory to the folder, or drops it. Answers that run go on and are not kept. May be called at any time and any number of
   * times.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#opening.values()].map((opening) => opening.catch(() => {})))
    for (const kept of [...this.#kept.values()]) {
      await kept.moving
      if (!kept.answering) await move(kept, () => this.#leave(kept))
      this.#letGo(kept)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #assertOpen(): void {
    if (this.#closing) throw new SottoError('ERR_CACHE_CLOSED', 'The context cache is closed')
    this.#model.inside // throws when the model is closed
  }

  /** Enters a conversation that nobody has yet. */
  #keep(id: string, options: ChatOptions): { chat: KeptChat; kept: Kept } {
    const kept = newKept({ id, principal: options.principal ?? '' })
    const chat = new KeptChat(
      {
        id,
        start: (...request) => this.#start(kept, ...request),
        save: () => this.#save(kept),
        fork: (forkId, forkOptions) => this.#fork(kept, forkId, forkOptions),
        reset: () => this.#reset(kept),
        close: () => this.#putAway(kept),
      },
      options,
    )
    this.#enter(kept, chat)
    return { chat, kept }
  }

  #enter(kept: Kept, chat: KeptChat): void {
    kept.chat = new WeakRef(chat)
    ContextCache.#follow(this.#router, new WeakRef(this), kept, chat)
    const name = nameOf(kept.principal, kept.id)
    const former = this.#kept.get(name)
    if (former) this.#letGo(former)
    this.#kept.set(name, kept)
  }

  // The router lives as long as the model: it must not hold the cache. Static, since functions share what those beside them hold.
  static #follow(
    router: RequestRouter,
    weak: WeakRef<ContextCache>,
    kept: Kept,
    chat: KeptChat,
  ): void {
    const inCache = (action: (cache: ContextCache) => void) => {
      const cache = weak.deref()
      if (cache) action(cache)
    }
    kept.context = router.addContext((news) => inCache((cache) => cache.#hear(kept, news)))
    unreachable.register(chat, () => inCache((cache) => cache.#letGo(kept)))
  }

  /** What was computed of it is of no use any more. */
  #reset(kept: Kept): void {
    this.#hold(kept) // the file says something else
    kept.parent = undefined
    void move(kept, async () => {
      if (kept.place === 'memory') this.#shelf.drop(kept)
      kept.place = 'nowhere'
    })
  }

  #fork(parent: Kept, id: string = randomUUID(), options: ChatOptions): KeptChat {
    this.#assertOpen()
    const name = nameOf(parent.principal, id)
    const taken =
      this.#kept.get(name)?.chat.deref() ||
      this.#opening.has(name) ||
      this.#folder?.has({ principal: parent.principal, id })
    if (taken)
      throw invalid('Expected a name that no conversation has yet: open or remove that one')
    const { chat, kept } = this.#keep(id, options)
    kept.parent = parent
    this.#hold(kept) // nobody else knows what was said
    return chat
  }

  #start(kept: Kept, ...[request, signal, onEnd]: Parameters<StartAnswer>) {
    if (request.principal !== kept.principal) throw notIts()
    if (this.#closing) throw new SottoError('ERR_CACHE_CLOSED', 'The context cache is closed')
    const its = this.#begin(kept, request)
    try {
      return this.#model.answer(its, signal, (result) => {
        onEnd?.(result)
        this.#end(kept)
      })
    } catch (error) {
      this.#fail(kept)
      throw error
    }
  }

  /** A turn. What is on disk is read beside the request, which waits for it in native code. */
  #begin(kept: Kept, request: Request): Request {
    this.#touch(kept)
    const { parent } = kept
    const ofParent =
      kept.place === 'nowhere' && (parent?.place === 'disk' || parent?.moving !== undefined)
    kept.coming = kept.moving !== undefined || kept.place === 'disk' || ofParent
    if (kept.coming) {
      this.#model.inside.native.expectContext(kept.context, true)
      void move(kept, async () => {
        if (kept.coming) await this.#shelf.come(kept)
      })
    }
    kept.answering = true
    this.#hold(kept)
    return { ...request, context: this.#has(kept) ? kept.context : 0 }
  }

  #end(kept: Kept): void {
    kept.answering = false
    if (!this.#has(kept)) this.#letGo(kept)
    else if (kept.parked && !kept.moving) void move(kept, () => this.#leave(kept))
    this.#makeRoom()
  }

  /** Nobody was asked. */
  #fail(kept: Kept): void {
    kept.answering = false
    if (!kept.coming) return
    kept.coming = false
    this.#native.expectContext(kept.context, false)
  }

  #has(kept: Kept): boolean {
    return this.#kept.get(nameOf(kept.principal, kept.id)) === kept
  }

  #hold(kept: Kept): void {
    const chat = kept.chat.deref()
    if (chat && this.#has(kept)) this.#held.set(kept, chat)
  }

  /** It is the most recently used now. */
  #touch(kept: Kept): void {
    if (!this.#has(kept)) return
    const name = nameOf(kept.principal, kept.id)
    this.#kept.delete(name)
    this.#kept.set(name, kept)
  }

  /** Nothing is kept of it any more; of one that answers, when its turn has ended. */
  #letGo(kept: Kept): void {
    if (this.#has(kept)) this.#kept.delete(nameOf(kept.principal, kept.id))
    this.#held.delete(kept)
    if (kept.answering) return
    this.#router.removeContext(kept.context)
    this.#shelf.drop(kept)
  }

  /** What native code says of it. */
  #hear(kept: Kept, { tokens, bytes, parked }: NativeContextNews): void {
    kept.parked = parked
    if (kept.restoring) {
      kept.restoring = false
      if (tokens > 0) this.#say('restored', kept)
      else this.#say('refused', kept, new SottoError('ERR_STATE_INVALID', 'The engine refused it'))
    }
    if (tokens > 0) {
      Object.assign(kept, { tokens, bytes, place: 'memory' })
      if (parked && !kept.answering && !kept.moving) void move(kept, () => this.#leave(kept))
    } else if (kept.place === 'memory' && !kept.moving) {
      kept.place = 'nowhere'
      this.#say('dropped', kept)
    }
    this.#makeRoom()
  }

  /** The least recently used that answer nobody leave until the rest is within the budget. */
  #makeRoom(): void {
    if (this.#closing) return
    let { conversations, tokens, bytes } = this.inMemory
    for (const kept of this.#kept.values()) {
      const leaving = kept.place === 'memory' && kept.moving !== undefined
      const fits =
        conversations <= mostInMemory && tokens <= this.#maxTokens && bytes <= this.#maxBytes
      if (fits) return
      if (kept.place !== 'memory' || kept.answering) continue
      conversations--
      tokens -= kept.tokens
      bytes -= kept.bytes
      if (!leaving) void move(kept, () => this.#leave(kept))
    }
  }

  async #save(kept: Kept): Promise<void> {
    this.#assertOpen()
    if (this.#folder === undefined)
      throw invalid('Expected a cache with options.folder to save a conversation')
    assertIdle(kept)
    if (!this.#has(kept)) throw invalid('Expected a conversation that was not removed')
    await this.#shelf.save(kept)
  }

  async #leave(kept: Kept): Promise<void> {
    await this.#shelf.leave(kept)
    if (kept.place === 'disk' && !kept.answering) this.#held.delete(kept)
  }

  async #putAway(kept: Kept): Promise<void> {
    assertIdle(kept)
    if (!this.#has(kept)) return
    await move(kept, () => this.#leave(kept))
  }

  #say(
    type: ContextCacheEvent['type'],
    kept: Pick<Kept, 'id' | 'principal' | 'tokens'>,
    error?: unknown,
  ): void {
    const { id, principal, tokens } = kept
    const event: ContextCacheEvent = { type, id, principal, tokens }
    if (error instanceof SottoError) event.error = error
    // What it throws is the caller's, and must not stop what moves conversations.
    if (this.#onEvent) queueMicrotask(() => this.#onEvent?.(event))
  }
}
