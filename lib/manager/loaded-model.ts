// loaded-model.ts: one model in memory, who holds it, and when nobody does. Its owner is a served name, or, when that has turned to
// another model, what is left of its use.

import type { Model } from '../model.js'
import type { PinnedPrefix } from '../pin.js'
import type { ContextCache } from './context-cache.js'
import type { Place } from './memory-budget.js'
import type { OpenChats } from './open-chats.js'

export class LoadedModel {
  readonly model: Model
  readonly source: string | string[]
  /** `performance.now()` of the last moment somebody used it. */
  lastUsed = performance.now()
  /** Prompt templates that it has computed, by name. They end with it. */
  readonly pins: Map<string, PinnedPrefix>
  /** What it has computed of conversations that are kept. */
  readonly contexts: ContextCache | undefined
  /** How many of those who hold it are leases. */
  leases = 0
  readonly #place: Place
  readonly #onIdle: () => void
  readonly #chats: OpenChats | undefined
  #holds = 0
  #watching = false
  #waiting: (() => void)[] = []
  #closing: Promise<void> | undefined

  /** `onIdle`: called whenever its last use has ended. */
  constructor(
    model: Model,
    source: string | string[],
    pins: Map<string, PinnedPrefix>,
    place: Place,
    onIdle: () => void,
    chats: OpenChats | undefined,
  ) {
    this.model = model
    this.source = source
    this.pins = pins
    this.#place = place
    this.#onIdle = onIdle
    this.#chats = chats
    this.contexts = chats?.cacheOf(model)
  }

  get bytes(): number {
    return this.#place.bytes
  }

  /** Nobody holds it and it answers nobody. */
  get idle(): boolean {
    return this.#holds === 0 && !this.model.busy
  }

  /** Keeps it from being unloaded until what is returned is called. */
  hold(): () => void {
    this.#holds++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holds--
      this.used()
    }
  }

  /** To be called when something was asked of it: from its end on it is idle, if it was the last. */
  used(): void {
    this.lastUsed = performance.now()
    if (this.#watching) return
    if (this.idle) this.#rest()
    else if (this.model.busy) {
      this.#watching = true
      void this.model.idle().then(() => {
        this.#watching = false
        this.used()
      })
    }
  }

  /** Resolves when it is idle, or closed. */
  async drained(): Promise<void> {
    while (!this.idle && !this.#closing) {
      this.used() // watches it
      if (!this.idle) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** Whatever runs fails with `ERR_MODEL_CLOSED`, after conversations have left. Resolves when its memory is free. */
  close(): Promise<void> {
    const free = () => this.model.close().finally(() => this.#place.free())
    this.#closing ??= this.#chats ? this.#chats.vacate(this).finally(free) : free()
    this.#wake()
    return this.#closing
  }

  #rest(): void {
    this.#wake()
    this.#onIdle()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
