// open-chat.ts: a conversation of a manager. Its words are here whatever model its name means; what was computed of it is in the cache of the
// model that answered last, and goes from one to the next through the folder, where their weights are the same.
//
// Rules: 1. a cache reads the file when the one before has written it. 2. What no file has is held: nobody else knows it.

import type { ChatOptions, StartAnswer } from '../chat.js'
import { invalid } from './context-options.js'
import { KeptChat } from './kept-chat.js'
import { assertIdle, type KeptContext, notIts } from './kept-context.js'
import type { LoadedModel } from './loaded-model.js'
import type { OpenChats } from './open-chats.js'

export interface OpenChatName {
  /** Of the model. */
  name: string
  principal: string
  id: string
}

// What a model is called that has computed nothing of a conversation.
const nobody = new Uint8Array(32)

export class OpenChat {
  readonly named: OpenChatName
  readonly #home: OpenChats
  readonly #chat: WeakRef<KeptChat>
  #at: { loaded: LoadedModel; kept: KeptContext | undefined } | undefined
  #answering = false
  /** Ends with the turn. */
  #turn: Promise<void> | undefined
  /** Who answers. */
  #running: LoadedModel | undefined
  /** Whether a file has all that was said. */
  #whole: boolean
  /** Of what was said; 0: nothing that could not be said again. */
  #version = 0
  #leaving: Promise<boolean> | undefined
  #parent: OpenChat | undefined
  /** Nothing of it is kept any more. */
  #forgotten = false

  static open(
    home: OpenChats,
    named: OpenChatName,
    options: ChatOptions,
    { onDisk = false, parent }: { onDisk?: boolean; parent?: OpenChat } = {},
  ): { chat: KeptChat; its: OpenChat } {
    let its: OpenChat
    const chat = new KeptChat(
      {
        id: named.id,
        start: (...request) => its.#start(...request),
        save: () => its.#save(),
        fork: (id, forkOptions) => its.#home.fork(its, id, forkOptions),
        reset: () => its.#reset(),
        close: () => its.#close(),
      },
      options,
    )
    its = new OpenChat(home, named, chat, onDisk, parent)
    return { chat, its }
  }

  private constructor(
    home: OpenChats,
    named: OpenChatName,
    chat: KeptChat,
    onDisk: boolean,
    parent: OpenChat | undefined,
  ) {
    this.#home = home
    this.named = named
    this.#chat = new WeakRef(chat)
    this.#whole = onDisk
    this.#parent = parent
    if (parent) this.#changed()
  }

  get chat(): KeptChat | undefined {
    return this.#chat.deref()
  }

  /** The turn goes to whatever model the name means, whose cache has the conversation from then on. */
  #start(...[request, signal, onEnd]: Parameters<StartAnswer>): ReturnType<StartAnswer> {
    if (request.principal !== this.named.principal) throw notIts()
    const served = this.#home.find(this.named.name)
    let kept: KeptContext | undefined
    let endTurn = () => {}
    const rest = () => {
      this.#answering = false
      this.#running = undefined
      endTurn()
    }
    const ended: typeof onEnd = (result) => {
      if (result) this.#changed()
      onEnd?.(result)
      kept?.end()
      rest()
      // Its model goes, and has nothing of it any more; or there was none.
      if (!this.#at) void this.leave()
    }
    const enter = (loaded: LoadedModel) => {
      kept = this.#enter(loaded)
      const its = kept?.begin(request) ?? request
      this.#running = loaded
      if (kept) this.#home.letGo(this) // The cache holds it.
      return its
    }
    this.#answering = true
    this.#turn = new Promise((resolve) => {
      endTurn = resolve
    })
    try {
      return served.answer(request, signal, ended, enter)
    } catch (error) {
      rest()
      kept?.fail()
      throw error
    }
  }

  #enter(loaded: LoadedModel): KeptContext | undefined {
    if (this.#at?.loaded === loaded) return this.#at.kept
    const chat = this.#chat.deref()
    if (!chat || this.#forgotten) return undefined
    const onDisk = this.#at ? this.leave() : (this.#leaving ?? this.#whole) // Rule 1.
    const parent = this.#parent?.fork(loaded)
    this.#parent = undefined
    const { name, principal, id } = this.named
    const kept = loaded.contexts?.adopt({ principal, id: fileId(name, id) }, chat, {
      onDisk,
      parent,
    })
    this.#at = { loaded, kept }
    return kept
  }

  /** What a fork goes on from, if it is that model's. */
  fork(loaded: LoadedModel): KeptContext | undefined {
    if (this.#running && this.#running !== loaded) return undefined
    return this.#enter(loaded)
  }

  /** Whether that model's cache has it. */
  isAt(loaded: LoadedModel): boolean {
    return this.#at?.loaded === loaded
  }

  /** Out of its cache, and into the folder. Resolves with whether a file has all of it. Of one that answers: when it has ended. Never rejects. */
  leave(): Promise<boolean> {
    if (this.#forgotten) return this.#leaving ?? Promise.resolve(false)
    const at = this.#at
    this.#at = undefined
    if (!at && this.#leaving) return this.#leaving
    if (!at && (this.#whole || this.#version === 0)) return Promise.resolve(this.#whole)
    this.#home.hold(this)
    if (at && this.#running === at.loaded) return Promise.resolve(false) // The end of the answer comes here again.
    this.#leaving = this.#store(async () => (await at?.kept?.leave()) ?? false)
    return this.#leaving
  }

  /** Out of its cache; no file is written from then on. */
  async forget(): Promise<void> {
    this.#forgotten = true
    this.#parent = undefined
    const at = this.#at
    this.#at = undefined
    await this.#leaving
    await at?.kept?.forget()
    this.#home.letGo(this)
  }

  /** Writes what was said where `stored` has not. */
  #store(stored: () => Promise<boolean>): Promise<boolean> {
    const before = this.#leaving
    const storing = (async () => {
      await before
      const version = this.#version
      const onDisk = (await stored()) || this.#whole || (await this.#write().catch(() => false))
      if (version !== this.#version) return onDisk
      this.#whole = onDisk
      if (onDisk) this.#home.letGo(this)
      return onDisk
    })().finally(() => {
      if (this.#leaving === storing) this.#leaving = undefined
    })
    return storing
  }

  /** What was said, without anything computed. */
  async #write(): Promise<boolean> {
    const history = this.chat?.history
    if (!history || this.#version === 0) return false
    const { name, principal, id } = this.named
    return this.#home.write({ principal, id: fileId(name, id) }, nobody, history)
  }

  #changed(): void {
    this.#version++
    this.#whole = false
    if (!this.#at?.kept && !this.#forgotten) this.#home.hold(this)
  }

  #reset(): void {
    this.#parent = undefined
    this.#at?.kept?.reset()
    this.#changed()
  }

  async #save(): Promise<void> {
    this.#home.assertOpen()
    if (!this.#home.hasFolder)
      throw invalid('Expected a manager with options.contexts.folder to save a conversation')
    if (this.#forgotten)
      throw invalid('Expected a conversation that is kept, this one was removed: open it anew')
    assertIdle({ answering: this.#answering })
    await this.#leaving
    const version = this.#version
    if (this.#at?.kept) await this.#at.kept.save()
    else if (!this.#whole) await this.#write()
    if (version === this.#version) this.#whole = true
  }

  async #close(): Promise<void> {
    assertIdle({ answering: this.#answering })
    await this.leave()
  }

  /** When its models are closed: resolves when its turn has ended and what was said is on disk, if there is one. */
  async settled(): Promise<void> {
    await this.#turn
    do await this.leave()
    while (this.#leaving)
  }
}

/** A conversation under a model's name is another than that of the same id under another name. */
export function fileId(name: string, id: string): string {
  return JSON.stringify([name, id])
}
