// served-model.ts: a name, and the model that it means now. What changes that (load, swap, unload) stands in line; what uses it does
// not, but where there is no model to use yet.
//
// Rules: 1. `#current` changes in one turn of JavaScript, so that every request is either the old model's or the new one's. 2. A model that
// the name has turned away from is closed when its last use has ended. 3. Where the old model has to make room first, new requests wait
// for whatever comes after it: the new model or, when that fails, the old one again.

import { onAbort, throwIfAborted, untilAborted } from '../abort.js'
import type { StreamResult } from '../answer.js'
import type { AnswerFeed } from '../answer-feed.js'
import type { StartAnswer } from '../chat.js'
import { SottoError } from '../errors.js'
import { LateAnswer } from '../late-answer.js'
import { bringModel } from './bring-model.js'
import type { ManagerEvents, Say } from './events.js'
import { type Call, closed, type Entry, type Household } from './household.js'
import { Line } from './line.js'
import type { LoadedModel } from './loaded-model.js'
import type { Tenant } from './memory-budget.js'

type Request = Parameters<StartAnswer>[0]

export class ServedModel {
  readonly name: string
  readonly #home: Household
  readonly #line = new Line()
  readonly #running = new Set<AbortController>()
  readonly #retiring = new Set<LoadedModel>()
  #entry: Entry
  #current: LoadedModel | undefined
  /** The current model takes no new requests: it is to make room. */
  #leaving = false
  #end: 'unloaded' | 'closed' | undefined
  #demand: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(name: string, entry: Entry, home: Household) {
    this.name = name
    this.#entry = entry
    this.#home = home
  }

  get entry(): Entry {
    return this.#entry
  }

  get current(): LoadedModel | undefined {
    return this.#current
  }

  /** Models that are still used although the name means another. */
  get retiring(): number {
    return this.#retiring.size
  }

  get state(): 'ready' | 'changing' | 'unloaded' {
    if (this.#line.busy) return 'changing'
    return this.#current ? 'ready' : 'unloaded'
  }

  /** What the memory budget sees. */
  get tenants(): Tenant[] {
    const seen = (model: LoadedModel, state: Tenant['state']): Tenant => ({
      ...{ name: this.name, bytes: model.bytes, lastUsed: model.lastUsed, state },
      // It fails where somebody has unloaded the name meanwhile, which is as good.
      evict: () => this.#rest('evicted').catch(() => {}),
    })
    const tenants = [...this.#retiring].map((model) => seen(model, 'going'))
    if (!this.#current) return tenants
    const used = this.#line.busy || !this.#current.idle
    return [...tenants, seen(this.#current, this.#entry.keep ? 'keep' : used ? 'busy' : 'idle')]
  }

  /** Sends a request to the model of the name: at once, or as soon as there is one. `enter` makes it one of that model. */
  readonly answer = (
    request: Request,
    signal: AbortSignal | undefined,
    onEnd?: (result: StreamResult | undefined) => void,
    enter: (loaded: LoadedModel) => Request = () => request,
  ): AnswerFeed => {
    this.#assertServed()
    if (this.#current && !this.#leaving) {
      const feed = this.#current.model.answer(enter(this.#current), signal, onEnd)
      this.#current.used()
      return feed
    }
    return this.#answerLate(enter, signal, onEnd)
  }

  #answerLate(
    enter: (loaded: LoadedModel) => Request,
    signal: AbortSignal | undefined,
    onEnd?: (result: StreamResult | undefined) => void,
  ): AnswerFeed {
    const late = new LateAnswer(signal, onEnd)
    const begin = async () => {
      const [loaded, release] = await this.#hold()
      try {
        if (!late.feed.finished) loaded.model.answerLate(enter(loaded), late)
      } finally {
        release()
      }
    }
    begin().catch((error) => late.fail(error as SottoError))
    return late.feed
  }

  /** The model of the name, kept until what comes with it is called. Loads it where that has to be. */
  async acquire(signal?: AbortSignal): Promise<[LoadedModel, release: () => void]> {
    const held = this.#hold()
    try {
      return await untilAborted(held, signal, `Waiting for ${this.name}`)
    } catch (error) {
      held.then(([, release]) => release()).catch(() => {})
      throw error
    }
  }

  async #hold(): Promise<[LoadedModel, release: () => void]> {
    for (;;) {
      this.#assertServed()
      if (this.#current && !this.#leaving) return [this.#current, this.#current.hold()]
      this.#demand ??= this.#operate({}, (call) => this.#loadOnDemand(call)).finally(() => {
        this.#demand = undefined
        setImmediate(() => this.#home.budget.changed())
      })
      await this.#demand
    }
  }

  async #loadOnDemand(call: Call): Promise<void> {
    if (this.#current) return
    this.#current = this.#adopt(await this.#bring(this.#entry, call))
    this.#switched()
  }

  /** The first model of the name. */
  load(call: Call): Promise<void> {
    return this.#change(call, (its) => this.#loadOnDemand(its))
  }

  /** Turns the name to another model. Resolves with a promise of the moment when the old one's memory is free. */
  swap(entry: Entry, call: Call): Promise<{ drained: Promise<void> }> {
    return this.#change(call, async (its) => {
      let fresh: LoadedModel
      try {
        fresh = this.#adopt(await this.#bring(entry, its, () => this.#giveWay(its)))
      } catch (error) {
        await this.#comeBack()
        throw error
      }
      const old = this.#current
      const previous = this.#entry.source
      this.#current = fresh // Rule 1.
      this.#entry = entry
      this.#leaving = false
      const drained = old ? this.#retire(old, 'replaced') : Promise.resolve()
      this.#switched(previous)
      return { drained }
    })
  }

  /** Has the current model compute a template; the next ones do so before they serve. */
  pin(template: string): Promise<void> {
    return this.#change({}, async ({ signal }) => {
      const loaded = this.#current
      if (!loaded || loaded.pins.has(template)) return
      const pinned = await this.#home.templates.pin(template, this.name, loaded.model, signal)
      if (pinned) loaded.pins.set(template, pinned)
      loaded.used()
    })
  }

  /** Takes the name away. Answers in flight run to their end, unless they are not to be waited for. */
  unload(drain: boolean): Promise<void> {
    return this.#change({}, async () => {
      this.#end = 'unloaded'
      this.#home.forget(this)
      clearTimeout(this.#timer)
      const old = this.#current
      this.#current = undefined
      const going = [...this.#retiring]
      if (!drain) await Promise.all(going.map((model) => model.close()))
      if (old && !drain) await this.#free(old, 'unload')
      else if (old) await this.#retire(old, 'unload')
    })
  }

  /** Cancels, drains and frees, whatever the name is at. */
  async close(): Promise<void> {
    this.#end = 'closed'
    clearTimeout(this.#timer)
    for (const controller of this.#running) controller.abort()
    const closing = [...this.#retiring].map((model) => model.close())
    const current = this.#current
    this.#current = undefined
    if (current) closing.push(this.#free(current, 'close'))
    await Promise.all(closing)
    await this.#line.run(async () => {})
  }

  /** Whatever changes the model, in order. A failure is told to everybody who listens, and to the caller. */
  async #operate<T>(call: Call, action: (call: Call) => Promise<T>): Promise<T> {
    const what = `Loading ${this.name}`
    throwIfAborted(call.signal, what)
    this.#assertServed()
    const controller = new AbortController()
    this.#running.add(controller)
    const letGoOfSignal = onAbort(call.signal, () => controller.abort(call.signal?.reason))
    let begun = false
    const turn = this.#line.run(async () => {
      begun = true
      try {
        this.#assertServed()
        throwIfAborted(controller.signal, what)
        return await action({ ...call, signal: controller.signal })
      } finally {
        letGoOfSignal()
        this.#running.delete(controller)
      }
    })
    try {
      // Who aborts does not wait for those in front, but for the end of what has begun.
      return await untilAborted(turn, call.signal, what).catch((error) => {
        if (begun) return turn
        turn.catch(() => {})
        throw error
      })
    } catch (error) {
      throw this.#end === 'closed' ? closed() : error
    }
  }

  /** The same for callers who go on when the name does nothing any more: what they load next may need its room. */
  async #change<T>(call: Call, action: (call: Call) => Promise<T>): Promise<T> {
    try {
      return await this.#operate(call, action)
    } finally {
      await new Promise(setImmediate)
      this.#home.budget.changed()
    }
  }

  /** The manager may have been closed in the meantime. */
  #adopt(fresh: LoadedModel): LoadedModel {
    if (!this.#end) return fresh
    this.#retiring.add(fresh) // close() waits for it
    void fresh.close().finally(() => this.#retiring.delete(fresh))
    throw closed()
  }

  /** How the current model makes room for the next, if there is one. */
  #giveWay(call: Call): (() => Promise<void>) | undefined {
    const old = this.#current
    if (!old) return undefined
    return async () => {
      this.#leaving = true // Rule 3.
      call.onProgress?.({ phase: 'draining', fraction: 0 })
      await untilAborted(
        old.drained(),
        call.signal,
        `Waiting for the end of what ${this.name} answers`,
      )
      this.#current = undefined
      this.#say('drained', old.source)
      await this.#free(old, 'replaced')
      call.onProgress?.({ phase: 'draining', fraction: 1 })
    }
  }

  /** After a swap that failed. */
  async #comeBack(): Promise<void> {
    try {
      if (this.#current || !this.#leaving || this.#end) return
      this.#current = this.#adopt(await this.#bring(this.#entry, {}))
      this.#switched()
    } catch {
      // Said by bringModel; the next use tries again.
    } finally {
      this.#leaving = false
    }
  }

  #switched(previous?: string | string[]): void {
    const current = this.#current!
    this.#home.templates.prune(current.pins)
    // Those who wait for the model must have it before somebody evicts it.
    setImmediate(current.hold())
    this.#say('switched', current.source, previous ? { previous } : {})
  }

  async #retire(old: LoadedModel, reason: 'replaced' | 'unload'): Promise<void> {
    this.#retiring.add(old)
    try {
      await old.drained()
      this.#say('drained', old.source)
      await this.#free(old, reason)
    } finally {
      this.#retiring.delete(old)
    }
  }

  async #free(old: LoadedModel, reason: ManagerEvents['unloaded'][0]['reason']): Promise<void> {
    await old.close()
    this.#say('unloaded', old.source, { reason })
  }

  /** A model of the name has nothing to do any more. */
  #rested(): void {
    this.#home.budget.changed()
    const { idleTimeout, keep } = this.#entry
    if (keep || !this.#current?.idle || idleTimeout === Number.POSITIVE_INFINITY || this.#end)
      return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#rest('idle').catch(() => {}), idleTimeout)
    this.#timer.unref()
  }

  /** Unloads the model for as long as nobody asks for it. */
  async #rest(reason: 'idle' | 'evicted'): Promise<void> {
    await this.#change({}, async () => {
      const old = this.#current
      if (!old?.idle) return
      const unused = performance.now() - old.lastUsed
      if (reason === 'idle' && unused < this.#entry.idleTimeout - 1) return this.#rested()
      this.#current = undefined
      if (!this.#entry.onDemand) {
        this.#end = 'unloaded'
        this.#home.forget(this)
      }
      if (reason === 'evicted') this.#say('evicted', old.source, { bytes: old.bytes })
      await this.#free(old, reason)
    })
  }

  /** Loads a model of this name, which nobody sees before it is there. */
  #bring(
    entry: Entry,
    call: Call,
    giveWay?: () => (() => Promise<void>) | undefined,
  ): Promise<LoadedModel> {
    return bringModel(entry, call, {
      name: this.name,
      home: this.#home,
      say: this.#say,
      serving: () => this.#current?.source,
      onIdle: () => this.#rested(),
      giveWay,
    })
  }

  readonly #say: Say = (event, source, more) => {
    const said = { name: this.name, source, ...more } as unknown
    this.#home.emit(event, ...([said] as never))
  }

  #assertServed(): void {
    if (this.#end === 'closed') throw closed()
    if (this.#end === 'unloaded') {
      throw new SottoError(
        'ERR_NAME_UNKNOWN',
        `Expected a name that is served, received ${this.name}, which was unloaded: load() it again`,
      )
    }
  }
}
