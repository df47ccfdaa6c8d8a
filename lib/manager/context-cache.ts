// context-cache.ts: recent conversations of a model. They stay in its KV cache as long as there is room; the least recently used leave it
// for a file, or are dropped, and come back with their next turn. Nothing that fails on the way loses what was said.

import { randomUUID } from 'node:crypto'
import type { ChatOptions, StartAnswer } from '../chat.js'
import { SottoError } from '../errors.js'
import type { Model } from '../model.js'
import { originOf, stateDigest } from '../model-origin.js'
import { fromNative, type NativeContextNews, type NativeModel } from '../native.js'
import type { RequestRouter } from '../request-router.js'
import { ChatFolder, type ChatName } from './chat-folder.js'
import {
  type CheckedContextOptions,
  type ContextCacheEvent,
  type ContextCacheOptions,
  checkContextOptions,
  invalid,
} from './context-options.js'
import { KeptChat } from './kept-chat.js'
import type { StateFile } from './state-file.js'

// Of the 24 sequences that a model remembers, these may be conversations; the rest is for what nobody has named.
const mostInMemory = 16

type Named = Pick<Kept, 'id' | 'principal' | 'tokens'>
type Request = Parameters<StartAnswer>[0]

// A conversation whose file has all of it lives as long as somebody uses it.
const unreachable = new FinalizationRegistry<() => void>((letGo) => letGo())

/** One conversation, and where what was computed of it is. */
interface Kept {
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
  /** Lets go of it. Resolves with whether a file has all of it now. Never rejects. */
  leave(): Promise<boolean>
}

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
  readonly #wipe: boolean
  readonly #onEvent: ((event: ContextCacheEvent) => void) | undefined
  /** Least recently used first. */
  readonly #kept = new Map<string, Kept>()
  /** Chats of which no file has all that was said. Not in `Kept`, which the model holds. */
  readonly #held = new Map<Kept, KeptChat>()
  readonly #opening = new Map<string, Promise<KeptChat>>()
  #digest: Promise<Buffer> | undefined
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
    this.#wipe = options.wipe ?? false
    this.#onEvent = options.onEvent
    if (!originOf(native).prefixCache)
      throw invalid(
        'Expected a model that was loaded with prefixCache, without which nothing is kept',
      )
    if (this.#wipe && (model.info.recurrent || model.info.hybrid))
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
    const file = await this.#openFile(named)
    try {
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
      void this.#move(kept, async () => {
        if (await onDisk) kept.place = 'disk'
      })
    return {
      kept,
      begin: (request) => this.#begin(kept, request),
      end: () => this.#end(kept),
      fail: () => this.#fail(kept),
      reset: () => this.#reset(kept),
      save: () => this.#save(kept),
      leave: async () => {
        await this.#move(kept, () => this.#leave(kept))
        this.#letGo(kept)
        return kept.place === 'disk'
      },
    }
  }

  /** Forgets a conversation, in memory and on disk. Who still has it can go on; nothing of it is kept any more. */
  async remove(id: string, { principal = '' }: { principal?: string } = {}): Promise<void> {
    this.#assertOpen()
    const name = nameOf(principal, id)
    await this.#opening.get(name)?.catch(() => {})
    const kept = this.#kept.get(name)
    if (kept) {
      this.#kept.delete(name)
      await kept.moving
      this.#letGo(kept)
    }
    await this.#folder?.remove({ principal, id })
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
      if (!kept.answering) await this.#move(kept, () => this.#leave(kept))
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
    void this.#move(kept, async () => {
      if (kept.place === 'memory') this.#drop(kept)
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
      void this.#move(kept, async () => {
        if (kept.coming) await this.#come(kept)
      })
    }
    kept.answering = true
    this.#hold(kept)
    return { ...request, context: this.#has(kept) ? kept.context : 0 }
  }

  #end(kept: Kept): void {
    kept.answering = false
    if (!this.#has(kept)) this.#letGo(kept)
    else if (kept.parked && !kept.moving) void this.#move(kept, () => this.#leave(kept))
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
    this.#drop(kept)
  }

  #drop(kept: Kept): void {
    try {
      this.#native.dropContext(kept.context, this.#wipe)
    } catch {
      // The model is closed, and has nothing any more.
    }
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
      if (parked && !kept.answering && !kept.moving) void this.#move(kept, () => this.#leave(kept))
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
      if (!leaving) void this.#move(kept, () => this.#leave(kept))
    }
  }

  /** One thing at a time moves it. Never rejects. */
  #move(kept: Kept, action: () => Promise<void>): Promise<void> {
    const moving = (kept.moving ?? Promise.resolve()).then(action).finally(() => {
      if (kept.moving === moving) kept.moving = undefined
    })
    kept.moving = moving
    return moving
  }

  /** From memory to disk, or to nowhere. */
  async #leave(kept: Kept): Promise<void> {
    if (kept.place !== 'memory') return
    let error: unknown
    try {
      if (this.#folder === undefined) this.#drop(kept)
      else if (await this.#write(kept, true)) {
        kept.place = 'disk'
        this.#say('spilled', kept)
        if (!kept.answering) this.#held.delete(kept)
        return
      }
    } catch (cause) {
      error = fromNative(cause)
    }
    kept.place = 'nowhere'
    kept.parked = false
    this.#say('dropped', kept, error)
  }

  /** From disk to native code, whose request waits for it. */
  async #come(kept: Kept): Promise<void> {
    kept.coming = false
    await kept.parent?.moving
    const from = kept.place === 'disk' ? kept : kept.parent
    const file = from?.place === 'disk' ? await this.#openFile(from) : undefined
    try {
      if (file && file.header.tokens > 0) {
        const digest = await this.#modelDigest()
        if (!digest.equals(file.header.model))
          throw new SottoError(
            'ERR_STATE_INVALID',
            'Expected what this model computed, received what another one did, or this one with other options',
          )
        const state = await file.state()
        if (state) {
          kept.restoring = true
          this.#native.restoreContext(kept.context, kept.principal, state)
          return
        }
      }
    } catch (error) {
      this.#say('refused', kept, fromNative(error))
    } finally {
      await file?.close()
      kept.parent = undefined
      if (kept.place === 'disk') kept.place = 'nowhere' // until native code says more
    }
    try {
      this.#native.expectContext(kept.context, false)
    } catch {
      // The model is closed, and so is the request.
    }
  }

  async #save(kept: Kept): Promise<void> {
    this.#assertOpen()
    if (this.#folder === undefined)
      throw invalid('Expected a cache with options.folder to save a conversation')
    assertIdle(kept)
    if (!this.#has(kept)) throw invalid('Expected a conversation that was not removed')
    let failure: { error: unknown } | undefined
    await this.#move(kept, async () => {
      if (kept.place === 'disk') return
      await this.#write(kept, false).then(
        () => this.#say('saved', kept),
        (error) => {
          failure = { error: fromNative(error) }
        },
      )
    })
    if (failure) throw failure.error
  }

  async #putAway(kept: Kept): Promise<void> {
    assertIdle(kept)
    await this.#move(kept, () => this.#leave(kept))
  }

  /** False where native code has nothing that could be restored. With `evict` it then has nothing any more. */
  async #write(kept: Kept, evict: boolean): Promise<boolean> {
    const state =
      kept.place === 'memory'
        ? await this.#native.saveContext(kept.context, evict, evict && this.#wipe)
        : undefined
    if (evict && !state) return false
    try {
      const model = await this.#modelDigest()
      await this.#folder!.write(kept, model, kept.chat.deref()?.history ?? [], state)
      return true
    } finally {
      state?.close()
    }
  }

  async #openFile(kept: Named): Promise<StateFile | undefined> {
    try {
      return await this.#folder?.open(kept)
    } catch (error) {
      this.#say('refused', kept, error)
      return undefined
    }
  }

  #modelDigest(): Promise<Buffer> {
    this.#digest ??= stateDigest(this.#native)
    return this.#digest
  }

  #say(type: ContextCacheEvent['type'], kept: Named, error?: unknown): void {
    const { id, principal, tokens } = kept
    const event: ContextCacheEvent = { type, id, principal, tokens }
    if (error instanceof SottoError) event.error = error
    // What it throws is the caller's, and must not stop what moves conversations.
    if (this.#onEvent) queueMicrotask(() => this.#onEvent?.(event))
  }
}

function newKept({ id, principal }: ChatName): Kept {
  return {
    ...{ id, principal, context: 0, place: 'nowhere', tokens: 0, bytes: 0, answering: false },
    ...{ parked: false, moving: undefined, restoring: false, coming: false, parent: undefined },
    chat: undefined as unknown as WeakRef<KeptChat>, // #enter has it
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

function nameOf(principal: string, id: string): string {
  return `${principal.length} ${principal}${id}`
}
