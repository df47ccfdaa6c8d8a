// answer.ts: collects an answer piece by piece, so that a result can be made when the last event has come. Costs O(1) a
// piece and no more memory than the text itself, however long the answer gets.

import type { NativeLogprobs, NativeResult } from './native.js'

/** One of the likeliest tokens at a position. */
export interface TokenLogprob {
  /** The token's id. */
  token: number
  /** Its text; U+FFFD stands for bytes that are only part of a character. */
  text: string
  /** Natural logarithm of its probability, before any sampler. */
  logprob: number
  /** Its bytes; part of a character where the token is. */
  bytes: Uint8Array
}

/** A generated token, its log-probability and its rivals. */
export interface TokenLogprobs extends TokenLogprob {
  /** The likeliest tokens at this position, likeliest first; as many as `logprobs` asked for. */
  top: TokenLogprob[]
}

/** A call of a tool that the model asks for. */
export interface ToolCall {
  /** Identifies the call; the tool's answer repeats it as `toolCallId`. */
  id: string
  /** The tool's name. */
  name: string
  /** JSON text. Cut off where the answer was. Written by a model: check it before use. */
  arguments: string
}

/** A piece of an answer's text. */
export interface TextPart {
  type: 'text'
  /** Whole characters, never part of a stop string. One or more tokens, depending on how fast the reader is. */
  text: string
  /** Of the tokens sampled since the part before, when `logprobs` was asked for. */
  logprobs?: TokenLogprobs[]
}

/** A piece of what the model thinks before it answers. */
export interface ReasoningPart {
  type: 'reasoning'
  text: string
  logprobs?: TokenLogprobs[]
}

/** A piece of a tool call. */
export interface ToolCallPart {
  type: 'toolCall'
  /** Empty: whoever writes the text of every part writes no JSON. */
  text: string
  /** Which of the answer's tool calls this is a piece of, from 0. */
  index: number
  /** Set in the first piece. */
  id: string
  /** Set in the first piece. */
  name: string
  /** The next piece of the arguments' JSON text. */
  arguments: string
  logprobs?: TokenLogprobs[]
}

/** A piece of an answer in a chat. */
export type ChatPart = TextPart | ReasoningPart | ToolCallPart

/** How many tokens a request cost. */
export interface Usage {
  tokensPrompt: number
  tokensGenerated: number
  /** Of the prompt's tokens, how many came from the prefix cache and were not computed again. */
  tokensReused: number
  /** Tokens that speculation proposed ahead. */
  tokensDrafted: number
  /** Of the generated tokens, how many had been proposed: each came without a step of its own. */
  tokensAccepted: number
}

/** How long a request took; milliseconds unless the name says otherwise. */
export interface Timings {
  /** Waiting for a free place. */
  queueMs: number
  /** Computing the prompt. */
  promptMs: number
  /** From the call to the first token; 0 when there was none. */
  firstTokenMs: number
  /** From the call to the end. */
  totalMs: number
  tokensPrompt: number
  tokensReused: number
  tokensGenerated: number
  tokensDrafted: number
  tokensAccepted: number
  /** Generated tokens a second after the first one; 0 with fewer than two. */
  tokensPerSecond: number
}

/**
 * Why an answer ended: the model or a stop string (`stop`), `maxTokens` (`length`), `abort()` or an AbortSignal (`abort`),
 * a full context (`context`), or tools that want to be called (`toolCalls`).
 */
export type FinishReason = 'stop' | 'length' | 'abort' | 'context' | 'toolCalls'

/** What is known when an answer has ended. */
export interface StreamResult {
  /** The whole text, without reasoning and tool calls. */
  text: string
  /** What the model thought before it answered, where its template marks that; else empty. */
  reasoning: string
  /** Calls that the model asks for, in order. */
  toolCalls: ToolCall[]
  finishReason: FinishReason
  /** The stop string that ended the answer, if one did. It is not part of `text`. */
  stopString?: string
  usage: Usage
  timings: Timings
  /** One entry a token, when `logprobs` was asked for. */
  logprobs?: TokenLogprobs[]
}

const decoder = new TextDecoder()
const chunkSize = 256

/** Text that grows at the end. Joined in chunks: thousands of small strings would weigh more than what they say. */
class TextCollector {
  #chunks: string[] = []
  #pieces: string[] = []

  add(piece: string): void {
    if (this.#pieces.push(piece) < chunkSize) return
    this.#chunks.push(this.#pieces.join(''))
    this.#pieces = []
  }

  get text(): string {
    return this.#chunks.join('') + this.#pieces.join('')
  }
}

export class Answer {
  readonly text = new TextCollector()
  reasoning: TextCollector | undefined
  logprobs: TokenLogprobs[] | undefined
  readonly #toolCalls = new Map<number, { id: string; name: string; arguments: TextCollector }>()

  addReasoning(piece: string): void {
    this.reasoning ??= new TextCollector()
    this.reasoning.add(piece)
  }

  /** Returns the new entries in their public form. */
  addLogprobs(tokens: NativeLogprobs[]): TokenLogprobs[] {
    const named = tokens.map((token) => ({
      ...token,
      text: decoder.decode(token.bytes),
      top: token.top.map((rival) => ({ ...rival, text: decoder.decode(rival.bytes) })),
    }))
    this.logprobs ??= []
    this.logprobs.push(...named)
    return named
  }

  addToolCall(piece: Omit<ToolCallPart, 'type' | 'text'>): void {
    let call = this.#toolCalls.get(piece.index)
    if (!call) {
      call = { id: '', name: '', arguments: new TextCollector() }
      this.#toolCalls.set(piece.index, call)
    }
    call.id ||= piece.id
    call.name ||= piece.name
    call.arguments.add(piece.arguments)
  }

  get toolCalls(): ToolCall[] {
    return [...this.#toolCalls.values()].map(({ id, name, arguments: text }) => ({
      id,
      name,
      arguments: text.text,
    }))
  }

  result(native: NativeResult): StreamResult {
    const { finishReason, stopString, tokensPrompt, tokensReused, tokensGenerated } = native
    const { tokensDrafted, tokensAccepted } = native
    const { queueMs, promptMs, firstTokenMs, totalMs } = native
    const spentMs = totalMs - firstTokenMs
    const tokensPerSecond =
      tokensGenerated > 1 && spentMs > 0 ? ((tokensGenerated - 1) * 1000) / spentMs : 0
    const toolCalls = this.toolCalls
    const result: StreamResult = {
      text: this.text.text,
      reasoning: this.reasoning?.text ?? '',
      toolCalls,
      finishReason: finishReason === 'stop' && toolCalls.length > 0 ? 'toolCalls' : finishReason,
      usage: { tokensPrompt, tokensGenerated, tokensReused, tokensDrafted, tokensAccepted },
      timings: {
        queueMs,
        promptMs,
        firstTokenMs,
        totalMs,
        tokensPrompt,
        tokensReused,
        tokensGenerated,
        tokensDrafted,
        tokensAccepted,
        tokensPerSecond,
      },
    }
    if (stopString !== '') result.stopString = stopString
    if (this.logprobs) result.logprobs = this.logprobs
    return result
  }
}

/** What native code would say of a request that ended before it began. */
export const nothingDone: NativeResult = {
  finishReason: 'abort',
  stopString: '',
  queueMs: 0,
  promptMs: 0,
  firstTokenMs: 0,
  totalMs: 0,
  tokensPrompt: 0,
  tokensReused: 0,
  tokensGenerated: 0,
  tokensDrafted: 0,
  tokensAccepted: 0,
}
