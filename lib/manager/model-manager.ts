// model-manager.ts: names that point at models: what one can ask of them, and of the manager itself.

import { EventEmitter } from 'node:events'
import { Chat, type ChatOptions } from '../chat.js'
import { type CompletionOptions, nativeCompletion, type Prompt } from '../completion.js'
import type { EmbeddingOptions, RankedDocument, RerankOptions } from '../embedding.js'
import { received, SottoError } from '../errors.js'
import { type LoadOptions, memoryLimit } from '../load.js'
import { checkPaths, type ModelInfo } from '../model.js'
import {
  abortSignal,
  callback,
  checkOptions,
  flag,
  number,
  object,
  oneOf,
  text,
} from '../options.js'
import { TokenStream } from '../token-stream.js'
import type { ManagerEvents, ServePhase } from './events.js'
import { type Call, closed, type Entry } from './household.js'
import type { KeptChat } from './kept-chat.js'
import { ModelLease } from './lease.js'
import { Line } from './line.js'
import { MemoryBudget } from './memory-budget.js'
import { type ManagedContextOptions, OpenChats } from './open-chats.js'
import { PromptTemplates } from './prompt-templates.js'
import { ServedModel } from './served-model.js'

export interface ManagerOptions {
  /**
   * Bytes that all models together may take, by the estimate that is made before each load. Idle models go when another needs room, least
   * recently used first. Default: the memory of the machine, or of its cgroup.
   */
  memoryBudget?: number
  /** Milliseconds after which a model that nobody uses is unloaded, 0 … 2^31 − 1 or Infinity. Default Infinity. */
  idleTimeout?: number
  /** Keep conversations: `openChat`. Default: none are kept. */
  contexts?: ManagedContextOptions
}

/** `LoadOptions` of the model, and what the manager does with it. */
export interface ServeOptions extends Omit<LoadOptions, 'onProgress'> {
  /** Called now and then with 0 … 1 of each phase. */
  onProgress?: (progress: { phase: ServePhase; fraction: number }) => void
  /**
   * Where there is no room beside what is in use: `fail` with `ERR_MODEL_MEMORY`, or `drain`: wait until the model that is to be replaced is
   * not used any more and unload it first, or until others are idle. Default `fail`.
   */
  whenFull?: 'fail' | 'drain'
  /** In place of the manager's. */
  idleTimeout?: number
  /** Never unload it to make room for others, nor because it is idle. Default false. */
  keep?: boolean
  /** Load it again at its next use when it was unloaded as idle; otherwise its name is gone then. Default true. */
  onDemand?: boolean
}

export interface ManagedChatOptions extends ChatOptions {
  /** Begin with a template of `manager.templates`, which the model has computed already. */
  promptTemplate?: string
}

/** A name, as `ModelManager.list` shows it. */
export interface ServedModelInfo {
  name: string
  source: string | string[]
  /** `changing`: somebody loads, swaps or unloads it; what is loaded serves meanwhile. */
  state: 'ready' | 'changing' | 'unloaded'
  /** Of the model that is loaded. */
  info?: ModelInfo
  /** Estimated bytes in memory; 0 where nothing is loaded. */
  bytes: number
  /** Whether it answers somebody. */
  busy: boolean
  /** Leases that are held. */
  leases: number
  /** Models that the name meant before and that are still used. */
  retiring: number
}

const most = 2 ** 31 - 1
const milliseconds = {
  expected: `a number of milliseconds from 0 to ${most}, or Infinity`,
  accepts: (value: unknown): value is number =>
    typeof value === 'number' &&
    value >= 0 &&
    (value <= most || value === Number.POSITIVE_INFINITY),
}
const serveRules = {
  whenFull: oneOf<'fail' | 'drain'>('fail', 'drain'),
  idleTimeout: milliseconds,
  keep: flag(),
  onDemand: flag(),
}
const callRules = { signal: abortSignal(), onProgress: callback<NonNullable<Call['onProgress']>>() }

/**
 * Names that point at models. A name may turn to another model while people talk to it: what runs ends on the old one, what comes runs
 * on the new one, and the old one's memory is then free.
 *
 * Events: see {@link ManagerEvents}; a `failed` that nobody listens to is no exception.
 *
 * @example
 * ```ts
 * import { ModelManager } from 'sotto'
 * await using manager = new ModelManager({ memoryBudget: 4 * 2 ** 30, idleTimeout: 10 * 60_000 })
 * manager.on('switched', ({ name, source }) => console.error(`${name} is ${source} now`))
 * await manager.load('chat', 'smollm2-135m-instruct')
 * const chat = manager.chat('chat', { system: 'Be brief.' })
 * for await (const part of chat.send('Why is the sky blue?', { maxTokens: 16 })) process.stdout.write(part.text)
 * await manager.swap('chat', 'smollm2-135m-instruct', { contextSize: 2048 })
 * for await (const part of chat.send('And at night?', { maxTokens: 16 })) process.stdout.write(part.text)
 * ```
 */
export class ModelManager extends EventEmitter<ManagerEvents> implements AsyncDisposable {
  /** Named beginnings of conversations, computed before anybody needs them. */
  readonly templates = new PromptTemplates(() => this.#served.values())
  readonly #served = new Map<string, ServedModel>()
  readonly #going = new Set<ServedModel>()
  readonly #budget: MemoryBudget
  readonly #loads = new Line()
  readonly #chats: OpenChats | undefined
  readonly #idleTimeout: number
  #closing: Promise<void> | undefined

  /** Errors: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`. */
  constructor(given?: ManagerOptions) {
    super()
    const {
      memoryBudget = memoryLimit(),
      idleTimeout = Number.POSITIVE_INFINITY,
      contexts,
    } = checkOptions<ManagerOptions>('options', given, {
      memoryBudget: number(1, Number.POSITIVE_INFINITY),
      idleTimeout: milliseconds,
      contexts: object('an object'),
    })
    this.#idleTimeout = idleTimeout
    if (contexts) {
      this.#chats = new OpenChats(contexts, {
        find: (name) => this.#find(name),
        assertOpen: () => this.#assertOpen(),
      })
    }
    this.#budget = new MemoryBudget(memoryBudget, () =>
      [...this.#served.values(), ...this.#going].flatMap(({ tenants }) => tenants),
    )
  }

  /** Estimated bytes of all models in memory, those on their way included, and how many they may be. */
  get memory(): { used: number; budget: number } {
    return { used: this.#budget.used, budget: this.#budget.limit }
  }

  /**
   * Loads a model, has it say a first token, and serves it under a new name. Requests that come before it is there wait for it.
   *
   * Errors: those of `loadModel`, `ERR_NAME_TAKEN`, `ERR_MODEL_MEMORY` with the numbers, `ERR_MANAGER_CLOSED`.
   */
  async load(name: string, source: string | string[], options?: ServeOptions): Promise<void> {
    this.#assertOpen()
    const { entry, call } = this.#read(source, options)
    if (typeof name !== 'string' || name === '') {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected a name for the model, received ${received(name)}`,
      )
    }
    if (this.#served.has(name)) {
      throw new SottoError(
        'ERR_NAME_TAKEN',
        `Expected a name that is free, received ${name}: swap() it, or unload() it first`,
      )
    }
    const served = new ServedModel(name, entry, {
      budget: this.#budget,
      loads: this.#loads,
      templates: this.templates,
      chats: this.#chats,
      emit: (event, ...said) => this.#tell(event, said),
      forget: (its) => {
        if (this.#served.get(name) === its) this.#served.delete(name)
      },
    })
    this.#served.set(name, served)
    try {
      await served.load(call)
    } catch (error) {
      this.#served.delete(name)
      throw error
    }
  }

  /**
   * Turns a name to another model: loads it beside the old one (or after it, see `whenFull`), has it say a first token, and switches. What
   * runs ends on the old model, whose memory is free when `drained` of the outcome resolves. When it fails, the old model goes on serving. Options that are
   * not given: the manager's part (`whenFull`, `idleTimeout`, `keep`, `onDemand`) stays as it was, the model's has its defaults.
   * Several swaps of a name happen in the order of their calls.
   *
   * Errors: those of `loadModel`, `ERR_NAME_UNKNOWN`, `ERR_MODEL_MEMORY`, `ERR_MANAGER_CLOSED`.
   */
  async swap(
    name: string,
    source: string | string[],
    options?: ServeOptions,
  ): Promise<{ drained: Promise<void> }> {
    const served = this.#find(name)
    const { entry, call } = this.#read(source, options, served.entry)
    return served.swap(entry, call)
  }

  /**
   * Takes a name away and resolves when its memory is free. New requests fail with `ERR_NAME_UNKNOWN`; those in flight run to their end,
   * or with `drain: false` fail with `ERR_MODEL_CLOSED`. Errors: `ERR_NAME_UNKNOWN`, `ERR_MANAGER_CLOSED`.
   */
  async unload(name: string, options?: { drain?: boolean }): Promise<void> {
    const { drain = true } = checkOptions<{ drain?: boolean }>('options', options, {
      drain: flag(),
    })
    const served = this.#find(name)
    this.#going.add(served)
    try {
      await served.unload(drain)
    } finally {
      this.#going.delete(served)
    }
  }

  /** The names, in the order in which they came. */
  list(): ServedModelInfo[] {
    return [...this.#served.values()].map(({ name, entry, state, current, retiring }) => ({
      name,
      source: entry.source,
      state,
      ...(current && { info: current.model.info }),
      bytes: current?.bytes ?? 0,
      busy: current?.model.busy ?? false,
      leases: current?.leases ?? 0,
      retiring,
    }))
  }

  /**
   * Holds the model that a name means now, loading it where that has to be: `await using lease = await manager.lease('chat')`.
   *
   * Errors: `ERR_NAME_UNKNOWN`, `ERR_ABORTED`, those of `loadModel` where it had to be loaded.
   */
  async lease(name: string, options?: { signal?: AbortSignal }): Promise<ModelLease> {
    const { signal } = checkOptions<{ signal?: AbortSignal }>('options', options, {
      signal: abortSignal(),
    })
    const [loaded, release] = await this.#find(name).acquire(signal)
    try {
      return new ModelLease(loaded)
    } finally {
      release()
    }
  }

  /** As `Model.complete`, by the model that the name means now. Errors, thrown at once: also `ERR_NAME_UNKNOWN`. */
  complete(name: string, prompt: Prompt, options?: CompletionOptions): TokenStream {
    const served = this.#find(name)
    const { signal, ...request } = nativeCompletion(0, prompt, options)
    return new TokenStream(served.answer(request, signal))
  }

  /**
   * A conversation with a name: each answer is by the model that the name means when it is asked for.
   *
   * Errors: `ERR_NAME_UNKNOWN` of name and template, later of name from `send`.
   */
  chat(name: string, given?: ManagedChatOptions): Chat {
    this.#find(name)
    return new Chat((...request) => this.#find(name).answer(...request), this.#begin(given))
  }

  #begin({ promptTemplate, ...chat }: ManagedChatOptions = {}): ChatOptions {
    return promptTemplate === undefined ? chat : this.templates.begin(promptTemplate, chat)
  }

  /**
   * A conversation that is kept, by id and `options.principal`; the name may be left out where one is served. It is the one that is in
   * use, the one in the folder, or a new one that begins with the options; they are also the defaults of its turns. As with `chat`, each
   * answer is by the model that the name means then. That goes on from what it, or a model of the same weights, has computed; after a swap
   * to others the words stay and are computed again. Without a folder words last as long as the manager, what was computed as long as the model.
   *
   * Errors: `ERR_OPTION_INVALID` without `contexts`, `ERR_NAME_UNKNOWN` of name and template, `ERR_DISK`, `ERR_MANAGER_CLOSED`, and those of `chat`.
   *
   * @example
   * ```ts
   * import { ModelManager } from 'sotto'
   * await using manager = new ModelManager({ contexts: { folder: './chats' } })
   * await manager.load('chat', 'smollm2-135m-instruct')
   * const chat = await manager.openChat('chat', 'anna', { system: 'Be brief.' })
   * console.log(await chat.send('Why is the sky blue?', { maxTokens: 16 }).text())
   * ```
   */
  openChat(name: string, id: string, options?: ManagedChatOptions): Promise<KeptChat>
  openChat(id: string, options?: ManagedChatOptions): Promise<KeptChat>
  async openChat(
    first: string,
    second?: string | ManagedChatOptions,
    third?: ManagedChatOptions,
  ): Promise<KeptChat> {
    this.#assertOpen()
    const [name, id, given] =
      typeof second === 'string' ? [first, second, third] : [this.#onlyName(), first, second]
    const chats = this.#keeperOf(id)
    this.#find(name)
    const options = this.#begin(given)
    return chats.open({ name, id, principal: options.principal ?? '' }, options)
  }

  /**
   * Forgets a conversation of `openChat`, in memory and in the folder, whether somebody uses it or not, and whether its model is served or not. An
   * answer that is being written goes on; who still has the chat can go on too: nothing of it is kept any more. One that is not there is no error.
   *
   * Errors: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_DISK`, `ERR_MANAGER_CLOSED`.
   */
  async removeChat(name: string, id: string, options?: { principal?: string }): Promise<void> {
    this.#assertOpen()
    const chats = this.#keeperOf(id)
    if (typeof name !== 'string')
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected the name of a model, received ${received(name)}`,
      )
    const { principal = '' } = checkOptions('options', options, { principal: text() })
    await chats.remove({ name, id, principal })
  }

  #keeperOf(id: unknown): OpenChats {
    if (!this.#chats)
      throw new SottoError(
        'ERR_OPTION_INVALID',
        'Expected a manager that keeps conversations: new ModelManager({ contexts: { folder } }), or use chat()',
      )
    if (typeof id !== 'string' || id === '')
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected the id of a conversation, received ${received(id)}`,
      )
    return this.#chats
  }

  #onlyName(): string {
    const names = [...this.#served.keys()]
    if (names.length === 1) return names[0]!
    throw new SottoError(
      'ERR_NAME_UNKNOWN',
      `Expected the name of a model before the id, since ${names.length} are served (${names.join(', ') || 'none'})`,
    )
  }

  /** As `Model.embed`. */
  embed(name: string, texts: string[], options?: EmbeddingOptions): Promise<Float32Array[]>
  embed(name: string, text: string, options?: EmbeddingOptions): Promise<Float32Array>
  async embed(
    name: string,
    texts: string | string[],
    options?: EmbeddingOptions,
  ): Promise<Float32Array | Float32Array[]> {
    using lease = await this.#leaseFor(name, options)
    return await lease.model.embed(texts as string, options)
  }

  /** As `Model.rerank`. */
  async rerank(
    name: string,
    query: string,
    documents: string[],
    options?: RerankOptions,
  ): Promise<RankedDocument[]> {
    using lease = await this.#leaseFor(name, options)
    return await lease.model.rerank(query, documents, options)
  }

  /**
   * Stops what runs, loads too, and gives all memory back. Answers in flight fail with `ERR_MODEL_CLOSED`, everything else with
   * `ERR_MANAGER_CLOSED`. At any time, any number of times.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#served.values(), ...this.#going].map((served) => served.close()))
    await this.#chats?.close()
    this.#served.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #leaseFor(name: string, options: { signal?: AbortSignal } | undefined): Promise<ModelLease> {
    return this.lease(name, options?.signal ? { signal: options.signal } : {})
  }

  #read(
    source: string | string[],
    options: ServeOptions | undefined,
    before?: Entry,
  ): { entry: Entry; call: Call } {
    const { signal, onProgress, whenFull, idleTimeout, keep, onDemand, ...load } = options ?? {}
    const serve = checkOptions('options', { whenFull, idleTimeout, keep, onDemand }, serveRules)
    const call = checkOptions<Call>('options', { signal, onProgress }, callRules as never)
    return {
      entry: {
        source: checkPaths(source),
        load,
        whenFull: serve.whenFull ?? before?.whenFull ?? 'fail',
        idleTimeout: serve.idleTimeout ?? before?.idleTimeout ?? this.#idleTimeout,
        keep: serve.keep ?? before?.keep ?? false,
        onDemand: serve.onDemand ?? before?.onDemand ?? true,
      },
      call,
    }
  }

  #find(name: string): ServedModel {
    this.#assertOpen()
    const served = this.#served.get(name)
    if (served) return served
    const names = [...this.#served.keys()].join(', ') || 'none'
    throw new SottoError(
      'ERR_NAME_UNKNOWN',
      `Expected a name that is served (${names}), received ${received(name)}: load() it first`,
    )
  }

  #assertOpen(): void {
    if (this.#closing) throw closed()
  }

  // What a listener throws is not the manager's: it is thrown where nobody is in the middle of something.
  #tell(event: keyof ManagerEvents, said: unknown[]): void {
    try {
      this.emit(event, ...(said as never))
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
