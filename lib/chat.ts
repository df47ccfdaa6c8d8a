// chat.ts: a conversation: its messages, and the answers that are added to them. Templates, tool calls and reasoning are
// upstream's formats; this file keeps the history and nothing else.

import type { AnswerFeed } from './answer-feed.js'
import {
  type CompletionOptions,
  type GenerationOptions,
  generationRules,
  nativeGeneration,
} from './completion.js'
import { received, SottoError } from './errors.js'
import type { NativeChatInput, NativeCompletion } from './native.js'
import {
  checkOptions,
  checkText,
  flag,
  type OptionRules,
  object,
  oneOf,
  text,
  toJson,
} from './options.js'
import { type ChatPart, type StreamResult, TokenStream, type ToolCall } from './token-stream.js'

/** One message of a conversation. */
export type ChatMessage =
  | { role: 'system' | 'user'; content: string }
  | {
      role: 'assistant'
      content: string
      reasoning?: string
      toolCalls?: ToolCall[]
      aborted?: boolean
    }
  | { role: 'tool'; content: string; toolCallId: string; name?: string }

/** A function that the model may call. */
export interface ToolDefinition {
  name: string
  description?: string
  /** JSON schema of the arguments. */
  parameters?: object
}

export interface TemplateOptions {
  /** A Jinja chat template in place of the model's own. Errors: `ERR_TEMPLATE_INVALID`. */
  template?: string
  /** More variables for the template. */
  templateArguments?: Record<string, unknown>
  tools?: ToolDefinition[]
  /** Default `auto`. */
  toolChoice?: 'auto' | 'required' | 'none'
  /** Let the model call several tools in one answer. Default false. */
  parallelToolCalls?: boolean
  /** Let models that can think do so. Default true. */
  reasoning?: boolean
  /** End the prompt where the assistant begins to speak. Default true. */
  addGenerationPrompt?: boolean
}

export interface ChatAnswerOptions extends GenerationOptions, TemplateOptions {}

export interface ChatOptions extends ChatAnswerOptions {
  /** The first message, of role system. */
  system?: string
  /** The conversation so far. */
  messages?: ChatMessage[]
}

const toolRule = {
  expected: 'an array of { name, description?, parameters? }',
  accepts: (value: unknown): value is ToolDefinition[] =>
    Array.isArray(value) &&
    value.every(
      (tool) =>
        typeof tool === 'object' &&
        tool !== null &&
        typeof tool.name === 'string' &&
        tool.name !== '',
    ),
}

export const templateRules: OptionRules<TemplateOptions> = {
  template: text(),
  templateArguments: object('an object'),
  tools: toolRule,
  toolChoice: oneOf('auto', 'required', 'none'),
  parallelToolCalls: flag(),
  reasoning: flag(),
  addGenerationPrompt: flag(),
}

const answerRules: OptionRules<ChatAnswerOptions> = { ...generationRules, ...templateRules }

/** @internal */
export function nativeChatInput(
  messages: ChatMessage[],
  options: TemplateOptions,
): NativeChatInput {
  return {
    messages: toJson('messages', messages.map(toOpenAi), 'ERR_TEMPLATE_INVALID'),
    tools: options.tools?.length
      ? toJson(
          'tools',
          options.tools.map((tool) => ({
            type: 'function',
            function: {
              name: tool.name,
              description: tool.description ?? '',
              parameters: tool.parameters ?? { type: 'object', properties: {} },
            },
          })),
          'ERR_TEMPLATE_INVALID',
        )
      : '',
    toolChoice: options.toolChoice ?? '',
    parallelToolCalls: options.parallelToolCalls ?? false,
    addGenerationPrompt: options.addGenerationPrompt ?? true,
    enableThinking: options.reasoning ?? true,
    template: options.template ?? '',
    templateArguments: options.templateArguments
      ? toJson('templateArguments', options.templateArguments, 'ERR_TEMPLATE_INVALID')
      : '',
    jsonSchema: '',
    grammar: '',
  }
}

function toOpenAi(message: ChatMessage): object {
  switch (message.role) {
    case 'assistant':
      return {
        role: 'assistant',
        content: message.content,
        ...(message.reasoning ? { reasoning_content: message.reasoning } : {}),
        ...(message.toolCalls?.length
          ? {
              tool_calls: message.toolCalls.map(({ id, name, arguments: args }) => ({
                id,
                type: 'function',
                function: { name, arguments: args },
              })),
            }
          : {}),
      }
    case 'tool':
      return {
        role: 'tool',
        content: message.content,
        tool_call_id: message.toolCallId,
        ...(message.name ? { name: message.name } : {}),
      }
    default:
      return { role: message.role, content: message.content }
  }
}

/** @internal */
export function checkMessages(what: string, messages: unknown): ChatMessage[] {
  if (!Array.isArray(messages)) {
    throw new SottoError(
      'ERR_TEMPLATE_INVALID',
      `Expected ${what} to be an array of messages, received ${received(messages)}`,
    )
  }
  messages.forEach((message, i) => {
    checkMessage(`${what}[${i}]`, message)
  })
  return messages as ChatMessage[]
}

function checkMessage(what: string, message: unknown): void {
  const candidate = message as Partial<Record<string, unknown>> | null
  if (typeof candidate !== 'object' || candidate === null) {
    throw new SottoError(
      'ERR_TEMPLATE_INVALID',
      `Expected ${what} to be { role, content }, received ${received(message)}`,
    )
  }
  const roles = ['system', 'user', 'assistant', 'tool']
  if (!roles.includes(candidate['role'] as string)) {
    throw new SottoError(
      'ERR_TEMPLATE_INVALID',
      `Expected ${what}.role to be one of ${roles.join(', ')}, received ${received(candidate['role'])}`,
    )
  }
  checkText(`${what}.content`, candidate['content'])
  if (candidate['role'] === 'tool' && typeof candidate['toolCallId'] !== 'string') {
    throw new SottoError(
      'ERR_TEMPLATE_INVALID',
      `Expected ${what}.toolCallId to be the id of the call that this answers, received ${received(candidate['toolCallId'])}`,
    )
  }
}

/** @internal */
export function nativeChat(
  messages: ChatMessage[],
  options: ChatAnswerOptions,
): Omit<NativeCompletion, 'id'> {
  const { id: _, ...request } = nativeGeneration(0, options as CompletionOptions)
  return { ...request, chat: nativeChatInput(messages, options) }
}

/** @internal Sends a request to whichever model it is for. Throws what can be said at once. */
export type StartAnswer = (
  request: Omit<NativeCompletion, 'id'>,
  signal: AbortSignal | undefined,
  onEnd?: (result: StreamResult | undefined) => void,
) => AnswerFeed

/** @internal */
export function checkAnswerOptions(options: unknown): Partial<ChatAnswerOptions> {
  return checkOptions<ChatAnswerOptions>('options', options, answerRules)
}

/**
 * A conversation with a model. The beginning that two turns share is never processed twice: it stays in the KV cache.
 *
 * @example
 * ```ts
 * import { loadModel } from 'sotto'
 * await using model = await loadModel('smollm2-135m-instruct')
 * const chat = model.chat({ system: 'Be brief.' })
 * for await (const part of chat.send('Why is the sky blue?')) if (part.type === 'text') process.stdout.write(part.text)
 * ```
 */
export class Chat {
  readonly #start: StartAnswer
  readonly #defaults: Partial<ChatAnswerOptions>
  #messages: ChatMessage[]
  #answering = false

  /** @internal */
  constructor(start: StartAnswer, given: unknown) {
    const { system, messages, ...defaults } = checkOptions<ChatOptions>('options', given, {
      ...answerRules,
      system: text(),
      messages: {
        expected: 'an array of messages',
        accepts: (value): value is ChatMessage[] => Array.isArray(value),
      },
    })
    this.#start = start
    this.#defaults = defaults
    this.#messages = checkMessages('messages', messages ?? []).slice()
    if (system !== undefined)
      this.#messages.unshift({ role: 'system', content: checkText('system', system) })
  }

  /** The messages so far, oldest first; a copy. */
  get history(): ChatMessage[] {
    return this.#messages.slice()
  }

  /**
   * Adds a user's text, or messages such as tool results, and streams the answer. The answer joins the history when it ends; an
   * aborted one with what it had, marked `aborted`. A failed one leaves the history as it was before the call.
   *
   * Errors: `ERR_CHAT_BUSY` while another answer is being written; `ERR_TEMPLATE_MISSING`, `ERR_TEMPLATE_INVALID`,
   * `ERR_PROMPT_TOO_LONG` from the stream.
   */
  send(
    message: string | ChatMessage | ChatMessage[],
    options?: ChatAnswerOptions,
  ): TokenStream<ChatPart> {
    this.#assertIdle()
    const added =
      typeof message === 'string'
        ? [{ role: 'user' as const, content: checkText('message', message) }]
        : checkMessages('message', [message].flat())
    const merged = { ...this.#defaults, ...checkAnswerOptions(options) }
    const messages = [...this.#messages, ...added]
    const request = nativeChat(messages, merged)
    this.#answering = true
    try {
      const state = this.#start(request, merged.signal, (result) => this.#ended(messages, result))
      return new TokenStream<ChatPart>(state)
    } catch (error) {
      this.#answering = false
      throw error
    }
  }

  #assertIdle(): void {
    if (!this.#answering) return
    throw new SottoError(
      'ERR_CHAT_BUSY',
      'Expected one answer at a time: await the result of the last send(), or fork() the chat',
    )
  }

  #ended(messages: ChatMessage[], result: StreamResult | undefined): void {
    this.#answering = false
    if (!result) return
    const answer: ChatMessage = { role: 'assistant', content: result.text }
    if (result.reasoning) answer.reasoning = result.reasoning
    if (result.toolCalls.length > 0) answer.toolCalls = result.toolCalls
    if (result.finishReason === 'abort') answer.aborted = true
    this.#messages = [...messages, answer]
  }

  /** @internal */
  protected get defaults(): Partial<ChatAnswerOptions> {
    return this.#defaults
  }

  /** Forgets everything but a system message at the beginning. Errors: `ERR_CHAT_BUSY`, since the answer would come back. */
  reset(): void {
    this.#assertIdle()
    const first = this.#messages[0]
    this.#messages = first?.role === 'system' ? [first] : []
  }

  /** A second conversation with the same past. Costs nothing until it goes on. */
  fork(): Chat {
    const fork = new Chat(this.#start, this.#defaults)
    fork.#messages = this.#messages.slice()
    return fork
  }
}
