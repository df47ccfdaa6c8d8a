// openai.ts: results in the shape of OpenAI's API reference (platform.openai.com/docs/api-reference), for code written for it.

import type { FinishReason, StreamResult, TokenLogprobs } from './token-stream.js'

export interface CompletionUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

export interface CompletionLogprobs {
  tokens: string[]
  token_logprobs: number[]
  top_logprobs: Record<string, number>[]
  text_offset: number[]
}

/** A `text_completion` object. */
export interface Completion {
  id: string
  object: 'text_completion'
  /** Unix time in seconds. */
  created: number
  model: string
  choices: {
    text: string
    index: number
    logprobs: CompletionLogprobs | null
    finish_reason: 'stop' | 'length'
  }[]
  usage: CompletionUsage
}

/** A `chat.completion` object. */
export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  choices: {
    index: number
    message: {
      role: 'assistant'
      content: string | null
      reasoning_content?: string
      tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[]
    }
    finish_reason: 'stop' | 'length' | 'tool_calls'
  }[]
  usage: CompletionUsage
}

function base(prefix: string, model: string) {
  return { id: `${prefix}-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model }
}

function usage({ usage: { tokensPrompt, tokensGenerated } }: StreamResult): CompletionUsage {
  return {
    prompt_tokens: tokensPrompt,
    completion_tokens: tokensGenerated,
    total_tokens: tokensPrompt + tokensGenerated,
  }
}

function finish(reason: FinishReason): 'stop' | 'length' {
  return reason === 'length' || reason === 'context' ? 'length' : 'stop'
}

function logprobs(tokens: TokenLogprobs[] | undefined): CompletionLogprobs | null {
  if (!tokens) return null
  const decoder = new TextDecoder()
  const result: CompletionLogprobs = {
    tokens: [],
    token_logprobs: [],
    top_logprobs: [],
    text_offset: [],
  }
  let offset = 0
  for (const { bytes, logprob, top } of tokens) {
    const text = decoder.decode(bytes)
    result.tokens.push(text)
    result.token_logprobs.push(logprob)
    result.top_logprobs.push(
      Object.fromEntries(top.map((entry) => [decoder.decode(entry.bytes), entry.logprob])),
    )
    result.text_offset.push(offset)
    offset += text.length
  }
  return result
}

/** @internal */
export function toCompletion(model: string, result: StreamResult): Completion {
  return {
    ...base('cmpl', model),
    object: 'text_completion',
    choices: [
      {
        text: result.text,
        index: 0,
        logprobs: logprobs(result.logprobs),
        finish_reason: finish(result.finishReason),
      },
    ],
    usage: usage(result),
  }
}

/** @internal */
export function toChatCompletion(model: string, result: StreamResult): ChatCompletion {
  const calls = result.toolCalls.map(({ id, name, arguments: args }) => ({
    id,
    type: 'function' as const,
    function: { name, arguments: args },
  }))
  return {
    ...base('chatcmpl', model),
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: result.text === '' && calls.length > 0 ? null : result.text,
          ...(result.reasoning ? { reasoning_content: result.reasoning } : {}),
          ...(calls.length > 0 ? { tool_calls: calls } : {}),
        },
        finish_reason:
          result.finishReason === 'toolCalls' ? 'tool_calls' : finish(result.finishReason),
      },
    ],
    usage: usage(result),
  }
}
