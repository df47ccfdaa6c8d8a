// model.ts: a loaded model and everything one can ask of it. Checks and shapes live in the files named after them; this one
// connects them with the native model.

import type { AnswerFeed } from './answer-feed.js'
import {
  Chat,
  type ChatAnswerOptions,
  type ChatMessage,
  type ChatOptions,
  checkAnswerOptions,
  checkMessages,
  nativeChat,
  nativeChatInput,
  type StartAnswer,
  type TemplateOptions,
  templateRules,
} from './chat.js'
import { type CompletionOptions, checkTokens, nativeCompletion, type Prompt } from './completion.js'
import {
  type EmbeddingOptions,
  embed,
  type RankedDocument,
  type RerankOptions,
  rerank,
} from './embedding.js'
import { received, SottoError } from './errors.js'
import type { LateAnswer } from './late-answer.js'
import {
  fromNative,
  type NativeCompletion,
  type NativeModel,
  type NativeModelInfo,
} from './native.js'
import { type ChatCompletion, type Completion, toChatCompletion, toCompletion } from './openai.js'
import { checkOptions, checkText, flag } from './options.js'
import { type PinnedPrefix, type PinOptions, pin } from './pin.js'
import type { RequestRouter } from './request-router.js'
import { type StreamResult, TokenStream } from './token-stream.js'

/** What a model is; sizes in bytes, contexts and vocabulary in tokens, −1 for a token the model does not have. */
export interface ModelInfo extends NativeModelInfo {
  /** The file, or the first shard. */
  path: string
  /** Threads in use: for one token a sequence, and for prompts. */
  threads: { generation: number; prompt: number }
}

export interface TokenizeOptions {
  /** Add the model's begin and end tokens where it wants them. Default false. */
  addSpecial?: boolean
  /** Read texts such as `<|im_start|>` as control tokens. Default false. */
  parseSpecial?: boolean
}

export interface DetokenizeOptions {
  /** Render control tokens. Default false. */
  special?: boolean
}

/** @internal The native model of one, for what computes with the weights by itself. Throws `ERR_MODEL_CLOSED`. */
export let nativeOf: (model: Model) => NativeModel

const tokenizeRules = { addSpecial: flag(), parseSpecial: flag() }

/**
 * A loaded model. Made by `loadModel`; give its memory back with `close()` or `await using`.
 *
 * Any number of answers may be written at once: they share each step of the computation. Every method fails with
 * `ERR_MODEL_CLOSED` after `close()`.
 */
export class Model implements AsyncDisposable {
  readonly #native: NativeModel
  readonly #router: RequestRouter
  readonly #info: ModelInfo
  readonly #end: () => Promise<void>
  readonly #lender: Model | undefined
  #closing: Promise<void> | undefined

  static {
    nativeOf = (model) => model.#open()
  }

  /** @internal `lender`: closing this face of it calls `end` and nothing else. */
  constructor(
    native: NativeModel,
    router: RequestRouter,
    info: ModelInfo,
    end: () => Promise<void> = () => native.close(),
    lender?: Model,
  ) {
    this.#native = native
    this.#router = router
    this.#info = info
    this.#end = end
    this.#lender = lender
  }

  /** Architecture, parameters, quantisation, context, template and metadata. Also after `close()`. */
  get info(): ModelInfo {
    return this.#info
  }

  /** @internal Whether it, or the model that it is a face of, was told to close. */
  get closed(): boolean {
    return this.#closing !== undefined || this.#lender?.closed === true
  }

  #open(): NativeModel {
    if (this.closed) throw new SottoError('ERR_MODEL_CLOSED', 'The model is closed: load it again')
    return this.#native
  }

  /**
   * Continues a text, or tokens.
   *
   * Errors, from the stream: `ERR_PROMPT_INVALID`, `ERR_PROMPT_TOO_LONG`, `ERR_GRAMMAR_INVALID`, `ERR_SCHEMA_INVALID`,
   * `ERR_QUEUE_FULL`, `ERR_MODEL_CLOSED`. Thrown at once: `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`.
   *
   * @example
   * ```ts
   * import { loadModel } from 'sotto'
   * await using model = await loadModel('smollm2-135m-instruct')
   * console.log(await model.complete('The capital of France is', { maxTokens: 8, temperature: 0 }).text())
   * ```
   */
  complete(prompt: Prompt, options?: CompletionOptions): TokenStream {
    this.#open()
    const { signal, ...request } = nativeCompletion(0, prompt, options)
    return new TokenStream(this.answer(request, signal))
  }

  /** Continues a text and resolves with an OpenAI-shaped `text_completion` object. */
  async createCompletion(prompt: Prompt, options?: CompletionOptions): Promise<Completion> {
    return toCompletion(this.#name(), await this.complete(prompt, options).result)
  }

  /** Starts a conversation. */
  chat(options?: ChatOptions): Chat {
    this.#open()
    return new Chat((...request: Parameters<StartAnswer>) => this.answer(...request), options)
  }

  /**
   * Computes the beginning of conversations once, a system prompt and examples for instance, and keeps it: chats that begin so, of
   * every principal, find it in the KV cache, whatever else is forgotten there. It counts in `contextSize`, of which an eighth stays
   * free of pins. Only what does not depend on the user's first word is pinned. Close the handle to give its room back.
   *
   * Errors: `ERR_CONTEXT_FULL` when there is no room for it, `ERR_TEMPLATE_MISSING`, `ERR_TEMPLATE_INVALID`, `ERR_PROMPT_INVALID` when
   * no token is common, `ERR_OPTION_INVALID` without `prefixCache`, `ERR_MODEL_UNSUPPORTED`, `ERR_QUEUE_FULL`, `ERR_ABORTED`.
   *
   * @example
   * ```ts
   * import { loadModel } from 'sotto'
   * await using model = await loadModel('smollm2-135m-instruct')
   * const system = 'You answer questions about sailing, briefly and without jargon.'
   * using pinned = await model.pin({ system })
   * const { usage } = await model.chat({ system }).send('What is a jib?', { maxTokens: 16 }).result
   * console.log(pinned.tokens, usage.tokensReused)
   * ```
   */
  async pin(options?: PinOptions): Promise<PinnedPrefix> {
    return pin(this.#open(), this.#router, options)
  }

  /** Answers a conversation and resolves with an OpenAI-shaped `chat.completion` object. */
  async createChatCompletion(
    messages: ChatMessage[],
    options?: ChatAnswerOptions,
  ): Promise<ChatCompletion> {
    this.#open()
    const checked = checkAnswerOptions(options)
    const request = nativeChat(checkMessages('messages', messages), checked)
    const state = this.answer(request, checked.signal)
    return toChatCompletion(this.#name(), await new TokenStream(state).result)
  }

  /**
   * Vectors of texts, one `Float32Array` of `info.embeddingLength` numbers each, in the order given.
   *
   * Errors: `ERR_EMBEDDING_UNSUPPORTED`, `ERR_PROMPT_TOO_LONG`, `ERR_ABORTED`.
   *
   * @example
   * ```ts
   * import { loadModel } from 'sotto'
   * await using model = await loadModel('smollm2-135m-instruct')
   * const [one, two] = await model.embed(['one', 'two'])
   * ```
   */
  embed(texts: string[], options?: EmbeddingOptions): Promise<Float32Array[]>
  embed(text: string, options?: EmbeddingOptions): Promise<Float32Array>
  async embed(
    texts: string | string[],
    options?: EmbeddingOptions,
  ): Promise<Float32Array | Float32Array[]> {
    const native = this.#open()
    const rows = await embed(
      native,
      this.#router,
      typeof texts === 'string' ? [texts] : texts,
      options,
    )
    return typeof texts === 'string' ? rows[0]! : rows
  }

  /** Documents by relevance to a query, best first. Needs a reranking model. Errors: `ERR_RERANK_UNSUPPORTED`. */
  async rerank(
    query: string,
    documents: string[],
    options?: RerankOptions,
  ): Promise<RankedDocument[]> {
    return rerank(this.#open(), this.#router, query, documents, options)
  }

  /** Text to tokens. */
  async tokenize(text: string, options?: TokenizeOptions): Promise<Int32Array> {
    const native = this.#open()
    const { addSpecial = false, parseSpecial = false } = checkOptions<TokenizeOptions>(
      'options',
      options,
      tokenizeRules,
    )
    return native.tokenize(checkText('text', text), addSpecial, parseSpecial).catch(rethrow)
  }

  /** How many tokens a text has. */
  async countTokens(text: string, options?: TokenizeOptions): Promise<number> {
    return (await this.tokenize(text, options)).length
  }

  /** Tokens to text; bytes that are not UTF-8 become U+FFFD. */
  detokenize(tokens: Int32Array | number[], options?: DetokenizeOptions): string {
    const native = this.#open()
    const { special = false } = checkOptions<DetokenizeOptions>('options', options, {
      special: flag(),
    })
    try {
      return native.detokenize(checkTokens(tokens), special)
    } catch (error) {
      throw fromNative(error)
    }
  }

  /** The prompt that the model's template makes of messages. Errors: `ERR_TEMPLATE_MISSING`, `ERR_TEMPLATE_INVALID`. */
  async applyTemplate(messages: ChatMessage[], options?: TemplateOptions): Promise<string> {
    const native = this.#open()
    const checked = checkOptions<TemplateOptions>('options', options, templateRules)
    return native
      .applyTemplate(nativeChatInput(checkMessages('messages', messages), checked))
      .catch(rethrow)
  }

  /**
   * Stops what runs and gives all memory back. Answers in flight fail with `ERR_MODEL_CLOSED`. May be called at any time and any
   * number of times; every call resolves when the memory is free.
   */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal Starts a request. */
  answer(
    request: Omit<NativeCompletion, 'id'>,
    signal: AbortSignal | undefined,
    onEnd?: (result: StreamResult | undefined) => void,
  ): AnswerFeed {
    const native = this.#open()
    const submit = (id: number) => native.submit({ ...request, id })
    return this.#router.startAnswer(native, signal, submit, onEnd)
  }

  /** @internal For what keeps conversations of this model. Throws when it is closed. */
  get inside(): { native: NativeModel; router: RequestRouter } {
    return { native: this.#open(), router: this.#router }
  }

  /** @internal Starts the request of an answer that somebody has already. */
  answerLate(request: Omit<NativeCompletion, 'id'>, late: LateAnswer): void {
    const native = this.#open()
    this.#router.start(
      (id) => late.begin(native, id),
      (id) => native.submit({ ...request, id }),
    )
  }

  /** @internal Another face of this model, for somebody who may not close it. */
  lend(end: () => void): Model {
    return new Model(this.#open(), this.#router, this.#info, async () => end(), this)
  }

  /** @internal Whether requests are in flight. */
  get busy(): boolean {
    return this.#router.busy
  }

  /** @internal Resolves when none is. */
  idle(): Promise<void> {
    return this.#router.idle()
  }

  #name(): string {
    return this.#info.name || this.#info.description
  }
}

function rethrow(error: unknown): never {
  throw fromNative(error)
}

/** @internal */
export function checkPaths(paths: unknown): string | string[] {
  if (typeof paths === 'string' && paths !== '') return paths
  if (
    Array.isArray(paths) &&
    paths.length > 0 &&
    paths.every((path) => typeof path === 'string' && path !== '')
  )
    return paths
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected a model name, a path or an array of paths, received ${received(paths)}`,
  )
}
