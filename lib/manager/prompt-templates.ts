// prompt-templates.ts: the beginnings of conversations that a manager knows by name: system prompts and examples. Every model that they
// are for has computed and pinned them before its name turns to it.

import type { ChatMessage, ChatOptions } from '../chat.js'
import { received, SottoError } from '../errors.js'
import type { Model } from '../model.js'
import { checkOptions, listOf, text } from '../options.js'
import type { PinnedPrefix, PinOptions } from '../pin.js'
import type { ServedModel } from './served-model.js'

/** A system prompt, examples, tools and what else `model.pin` takes. */
export interface PromptTemplate extends Omit<PinOptions, 'signal'> {
  /** Names of served models that have to know it. Default: every model that can chat. */
  names?: string[]
}

/** A template, as `templates.list` shows it. */
export interface PromptTemplateInfo extends PromptTemplate {
  name: string
  /** Served names whose model has it pinned now, with the number of tokens. */
  pinned: Record<string, number>
}

// A model that cannot chat needs no beginning of a chat, unless somebody has said that it does.
const cannot = ['ERR_TEMPLATE_MISSING', 'ERR_MODEL_UNSUPPORTED', 'ERR_OPTION_INVALID']

function notUnloaded(error: unknown): void {
  if (!(error instanceof SottoError) || error.code !== 'ERR_NAME_UNKNOWN') throw error
}

/** The templates of a manager: `manager.templates`. */
export class PromptTemplates {
  readonly #templates = new Map<string, PromptTemplate>()
  readonly #served: () => Iterable<ServedModel>

  /** @internal */
  constructor(served: () => Iterable<ServedModel>) {
    this.#served = served
  }

  /**
   * Makes a template known and resolves when every loaded model that it is for has computed it; those that are loaded later compute it
   * before they serve.
   *
   * Errors: `ERR_NAME_TAKEN`, `ERR_OPTION_INVALID`, and those of `model.pin`: then the template is not known. A model that cannot
   * chat is passed over, unless `names` has its name.
   *
   * @example
   * ```ts
   * import { ModelManager } from 'sotto'
   * await using manager = new ModelManager()
   * await manager.load('chat', 'smollm2-135m-instruct')
   * await manager.templates.add('support', {
   *   system: 'You answer questions of sailors, briefly.',
   *   messages: [{ role: 'user', content: 'What is a jib?' }, { role: 'assistant', content: 'A sail before the mast.' }],
   * })
   * console.log(await manager.chat('chat', { promptTemplate: 'support' }).send('What is a boom?', { maxTokens: 16 }).text())
   * ```
   */
  async add(name: string, template: PromptTemplate): Promise<void> {
    if (typeof name !== 'string' || name === '' || typeof template !== 'object' || !template) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected a name and a template { system?, messages?, … }, received ${received(name)} and ${received(template)}`,
      )
    }
    if (this.#templates.has(name)) {
      throw new SottoError(
        'ERR_NAME_TAKEN',
        `Expected a name that is free, received the template ${name}: remove() it first`,
      )
    }
    checkOptions<{ names?: string[] }>(
      'template',
      { names: template.names },
      { names: listOf(text()) },
    )
    this.#templates.set(name, structuredClone(template))
    try {
      await Promise.all([...this.#served()].map((served) => served.pin(name).catch(notUnloaded)))
    } catch (error) {
      this.remove(name)
      throw error
    }
  }

  /** Forgets a template and gives its part of every KV cache back; conversations that use it go on. False: there was none. */
  remove(name: string): boolean {
    for (const { current } of this.#served()) {
      current?.pins.get(name)?.close()
      current?.pins.delete(name)
    }
    return this.#templates.delete(name)
  }

  list(): PromptTemplateInfo[] {
    return [...this.#templates].map(([name, template]) => {
      const pinned = [...this.#served()].flatMap(({ name: served, current }) => {
        const pin = current?.pins.get(name)
        return pin ? [[served, pin.tokens] as const] : []
      })
      return { name, ...structuredClone(template), pinned: Object.fromEntries(pinned) }
    })
  }

  /** @internal Has a model compute the template, if it is for it. */
  async pin(
    name: string,
    servedName: string,
    model: Model,
    signal: AbortSignal | undefined,
  ): Promise<PinnedPrefix | undefined> {
    const template = this.#templates.get(name)
    if (!template) return undefined
    const { names, ...prefix } = template
    if (names && !names.includes(servedName)) return undefined
    let pinned: PinnedPrefix
    try {
      pinned = await model.pin({ ...prefix, ...(signal && { signal }) })
    } catch (error) {
      if (!names && error instanceof SottoError && cannot.includes(error.code)) return undefined
      throw error
    }
    if (this.#templates.get(name) === template) return pinned
    pinned.close() // removed meanwhile
    return undefined
  }

  /** @internal Has a model compute all that are for it. */
  async pinAll(
    servedName: string,
    model: Model,
    signal: AbortSignal | undefined,
  ): Promise<Map<string, PinnedPrefix>> {
    const pins = new Map<string, PinnedPrefix>()
    for (const name of this.#templates.keys()) {
      const pinned = await this.pin(name, servedName, model, signal)
      if (pinned) pins.set(name, pinned)
    }
    return pins
  }

  /** @internal Ends those of a model that were removed while it was loaded. */
  prune(pins: Map<string, PinnedPrefix>): void {
    for (const [name, pinned] of pins) {
      if (this.#templates.has(name)) continue
      pinned.close()
      pins.delete(name)
    }
  }

  /** @internal The options of a chat that begins with a template. */
  begin(name: string, options: ChatOptions): ChatOptions {
    const template = this.#templates.get(name)
    if (!template) {
      const known = [...this.#templates.keys()].join(', ') || 'none'
      throw new SottoError(
        'ERR_NAME_UNKNOWN',
        `Expected options.promptTemplate to be a template (${known}), received ${received(name)}: templates.add() it first`,
      )
    }
    const { names: _, messages = [], ...rest } = template
    if (rest.system !== undefined && options.system !== undefined) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected either options.system or a template with one, received both: ${name} has a system prompt`,
      )
    }
    const all: ChatMessage[] = [...messages, ...(options.messages ?? [])]
    return { ...rest, ...options, messages: all }
  }
}
