// open-chats.ts: the conversations that a manager keeps, by model name, principal and id; and, for each model, what has computed of them.

import { randomUUID } from 'node:crypto'
import type { ChatMessage, ChatOptions } from '../chat.js'
import { SottoError } from '../errors.js'
import type { Model } from '../model.js'
import { ChatFolder, type ChatName } from './chat-folder.js'
import { ContextCache } from './context-cache.js'
import {
  type CheckedContextOptions,
  type ContextCacheEvent,
  type ContextCacheOptions,
  checkContextOptions,
  invalid,
} from './context-options.js'
import type { KeptChat } from './kept-chat.js'
import type { LoadedModel } from './loaded-model.js'
import { fileId, OpenChat, type OpenChatName } from './open-chat.js'
import type { ServedModel } from './served-model.js'

/** What happened to a conversation of a manager. */
export interface ManagedContextEvent extends ContextCacheEvent {
  /** Of the model. */
  name: string
}

/** As those of `ContextCache`; `maxTokens` and `maxBytes` are each model's. */
export interface ManagedContextOptions extends Omit<ContextCacheOptions, 'onEvent'> {
  /** Hears what happens to conversations. */
  onEvent?: (event: ManagedContextEvent) => void
}

// A conversation of which a file has all is known as long as somebody uses it.
const unreachable = new FinalizationRegistry<() => void>((forget) => forget())

export class OpenChats {
  /** The model of a name. Throws where there is none, and when the manager is closed. */
  readonly find: (name: string) => ServedModel
  readonly assertOpen: () => void
  readonly #options: CheckedContextOptions
  readonly #folder: ChatFolder | undefined
  readonly #chats = new Map<string, OpenChat>()
  /** Chats that no cache holds, and of which no file has all that was said. */
  readonly #held = new Map<OpenChat, KeptChat>()
  readonly #opening = new Map<string, Promise<KeptChat>>()
  readonly #removing = new Map<string, Promise<void>>()
  #ready: Promise<void> | undefined

  /** Errors: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`. */
  constructor(
    given: ManagedContextOptions,
    manager: { find: (name: string) => ServedModel; assertOpen: () => void },
  ) {
    const { onEvent, ...options } = checkContextOptions(given, 'options.contexts')
    const tell = onEvent as ManagedContextOptions['onEvent']
    this.#options = tell ? { ...options, onEvent: (event) => tell(translated(event)) } : options
    this.#folder = ChatFolder.of(options)
    this.find = manager.find
    this.assertOpen = manager.assertOpen
  }

  hold(its: OpenChat): void {
    if (its.chat) this.#held.set(its, its.chat)
  }

  letGo(its: OpenChat): void {
    this.#held.delete(its)
  }

  get hasFolder(): boolean {
    return this.#folder !== undefined
  }

  /** For one model. Undefined: it can keep nothing. */
  cacheOf(model: Model): ContextCache | undefined {
    return ContextCache.of(model, this.#options)
  }

  /** The one that is in use, the one in the folder, or a new one. */
  async open(named: OpenChatName, options: ChatOptions): Promise<KeptChat> {
    const key = keyOf(named)
    const known = this.#chats.get(key)?.chat ?? this.#opening.get(key)
    if (known) return known
    const opening = this.#read(named, options).finally(() => this.#opening.delete(key))
    this.#opening.set(key, opening)
    return opening
  }

  async #read(named: OpenChatName, options: ChatOptions): Promise<KeptChat> {
    await this.#prepare()
    await this.#removing.get(keyOf(named))?.catch(() => {})
    let read: ChatOptions | undefined
    try {
      const file = await this.#folder?.open(onDisk(named))
      try {
        const { system: _, ...others } = options
        if (file) read = { ...others, messages: await file.messages() }
      } finally {
        await file?.close()
      }
    } catch (error) {
      this.#refuse(named, error)
    }
    this.assertOpen()
    return this.#keep(named, read ?? options, { onDisk: read !== undefined })
  }

  /** Forgets it, in memory and on disk. Errors: `ERR_DISK`. */
  async remove(named: OpenChatName): Promise<void> {
    const key = keyOf(named)
    await this.#opening.get(key)?.catch(() => {})
    const its = this.#chats.get(key)
    this.#chats.delete(key)
    const before = this.#removing.get(key)
    const removing = (async () => {
      await before?.catch(() => {})
      await its?.forget()
      await this.#folder?.remove(onDisk(named))
    })().finally(() => {
      if (this.#removing.get(key) === removing) this.#removing.delete(key)
    })
    this.#removing.set(key, removing)
    await removing
  }

  /** The folder is there, and nobody else's. */
  async #prepare(): Promise<void> {
    this.#ready ??= this.#folder?.prepare()
    try {
      await this.#ready
    } catch (error) {
      this.#ready = undefined // It may be there next time.
      throw error
    }
  }

  #keep(named: OpenChatName, options: ChatOptions, past: Parameters<typeof OpenChat.open>[3]) {
    const { chat, its } = OpenChat.open(this, named, options, past)
    const key = keyOf(named)
    this.#chats.set(key, its)
    OpenChats.#follow(chat, key, new WeakRef(this), new WeakRef(its))
    return chat
  }

  // The registry must not hold what holds the chat. Static, since functions share what those beside them hold.
  static #follow(
    chat: KeptChat,
    key: string,
    weak: WeakRef<OpenChats>,
    its: WeakRef<OpenChat>,
  ): void {
    unreachable.register(chat, () => {
      const home = weak.deref()
      if (home && home.#chats.get(key) === its.deref()) home.#chats.delete(key)
    })
  }

  fork(parent: OpenChat, id: string = randomUUID(), options: ChatOptions): KeptChat {
    this.assertOpen()
    const named = { ...parent.named, id }
    if (
      this.#chats.get(keyOf(named))?.chat ||
      this.#opening.has(keyOf(named)) ||
      this.#folder?.has(onDisk(named))
    )
      throw invalid('Expected a name that no conversation has yet: open that one')
    return this.#keep(named, options, { parent })
  }

  /** A model goes: what it has of conversations is written, or dropped. Those that it is answering are written when they have ended. */
  async vacate(loaded: LoadedModel): Promise<void> {
    const its = [...this.#chats.values()].filter((chat) => chat.isAt(loaded))
    await Promise.all(its.map((chat) => chat.leave()))
    await loaded.contexts?.close()
  }

  /** False where there is no folder. Errors: `ERR_DISK`. */
  async write(name: ChatName, model: Uint8Array, messages: ChatMessage[]): Promise<boolean> {
    await this.#folder?.write(name, model, messages, undefined)
    return this.#folder !== undefined
  }

  /** When the models are closed: everything that was said is in the folder then. */
  async close(): Promise<void> {
    const under = [...this.#opening.values(), ...this.#removing.values()]
    await Promise.all(under.map((work) => work.catch(() => {})))
    await Promise.all([...this.#chats.values()].map((chat) => chat.settled()))
    this.#chats.clear()
    this.#held.clear()
  }

  #refuse({ name, principal, id }: OpenChatName, error: unknown): void {
    const its = { type: 'refused' as const, id: fileId(name, id), principal, tokens: 0 }
    const { onEvent } = this.#options
    if (!onEvent) return
    queueMicrotask(() => onEvent({ ...its, ...(error instanceof SottoError && { error }) }))
  }
}

function onDisk({ name, principal, id }: OpenChatName): ChatName {
  return { principal, id: fileId(name, id) }
}

function keyOf(named: OpenChatName): string {
  return JSON.stringify([named.principal, named.name, named.id])
}

function translated({ id, ...event }: ContextCacheEvent): ManagedContextEvent {
  const [name, its] = JSON.parse(id) as [string, string]
  return { ...event, name, id: its }
}
