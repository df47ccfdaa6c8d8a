// completion.ts: the options of a text completion, and what goes to native code for them.

import { received, SottoError } from './errors.js'
import type { NativeCompletion, NativeSpeculation } from './native.js'
import {
  abortSignal,
  anyOf,
  checkOptions,
  checkText,
  flag,
  integer,
  listOf,
  type OptionRules,
  object,
  oneOf,
  text,
  toJson,
} from './options.js'
import { nativeSampling, type SamplingOptions, samplingRules } from './sampling.js'

/**
 * Verify several tokens in one step, proposed from the text so far or by a draft model: `'auto'` where that is expected to be
 * faster, `true` whenever there is something to propose, `false` never. Answers are the same, sampled ones too.
 */
export type Speculation = 'auto' | boolean

export const speculationRule = oneOf<Speculation>('auto', true, false)

/** @internal */
export function nativeSpeculation(speculation: Speculation): NativeSpeculation {
  if (speculation === 'auto') return 'auto'
  return speculation ? 'always' : 'off'
}

/** What every generated answer can be told. */
export interface GenerationOptions extends SamplingOptions {
  /** Most tokens of the answer, 0 … 2^31 − 1. Default: until the model stops or the context is full. */
  maxTokens?: number
  /** Texts that end the answer; they are not part of it. */
  stop?: string | string[]
  /** Go on after the model's end-of-text token. Default false. */
  ignoreEos?: boolean
  /** When the context is full: `error` ends the answer with reason `context`, `shift` forgets its older half. Default `error`. */
  overflow?: 'error' | 'shift'
  /** Log-probabilities of the chosen token and this many most likely ones, 0 … 100. Default: none. */
  logprobs?: number
  /** A GBNF grammar (rule `root`) that the answer must follow. Errors: `ERR_GRAMMAR_INVALID`. */
  grammar?: string
  /** A JSON schema that the answer must follow, as an object or its JSON text. Errors: `ERR_SCHEMA_INVALID`. */
  jsonSchema?: object | string
  /** Share the KV cache of earlier prompts with the same beginning. Default true. */
  reusePrefix?: boolean
  /** In place of the model's own, see `LoadOptions.speculation`. */
  speculation?: Speculation
  /** Whoever is asking: prompts are never shared between principals. Default: one for all. */
  principal?: string
  /** Ends the answer with reason `abort`. */
  signal?: AbortSignal
}

export interface CompletionOptions extends GenerationOptions {
  /** Put the model's begin and end tokens around the prompt where it wants them. Default true. */
  addSpecial?: boolean
  /** Read texts such as `<|im_start|>` in the prompt as control tokens. Leave it off for text you did not write. Default false. */
  parseSpecial?: boolean
}

export const generationRules: OptionRules<GenerationOptions> = {
  ...samplingRules,
  maxTokens: integer(0, 2 ** 31 - 1),
  stop: anyOf<string | string[]>(text(), listOf(text())),
  ignoreEos: flag(),
  overflow: oneOf('error', 'shift'),
  logprobs: integer(0, 100),
  grammar: text(),
  jsonSchema: anyOf<object | string>(text(), object('a JSON schema')),
  reusePrefix: flag(),
  speculation: speculationRule,
  principal: text(),
  signal: abortSignal(),
}

export const completionRules: OptionRules<CompletionOptions> = {
  ...generationRules,
  addSpecial: flag(),
  parseSpecial: flag(),
}

export type Prompt = string | Int32Array | number[]

/** @internal */
export function nativeGeneration(id: number, options: GenerationOptions): NativeCompletion {
  const stop = typeof options.stop === 'string' ? [options.stop] : (options.stop ?? [])
  for (const item of stop) checkText('options.stop', item)
  const schema = options.jsonSchema
  return {
    id,
    principal: options.principal ?? '',
    addSpecial: true,
    parseSpecial: false,
    maxTokens: options.maxTokens ?? -1,
    ignoreEos: options.ignoreEos ?? false,
    shift: options.overflow === 'shift',
    stop,
    logprobs: options.logprobs ?? -1,
    reusePrefix: options.reusePrefix ?? true,
    context: 0,
    grammar: options.grammar ?? '',
    jsonSchema:
      schema === undefined
        ? ''
        : typeof schema === 'string'
          ? schema
          : toJson('options.jsonSchema', schema, 'ERR_SCHEMA_INVALID'),
    speculation:
      options.speculation === undefined ? 'default' : nativeSpeculation(options.speculation),
    sampling: nativeSampling(options),
  }
}

/** @internal */
export function nativeCompletion(
  id: number,
  prompt: Prompt,
  given: unknown,
): NativeCompletion & { signal?: AbortSignal } {
  const options = checkOptions<CompletionOptions>('options', given, completionRules)
  const request: NativeCompletion & { signal?: AbortSignal } = nativeGeneration(id, options)
  if (typeof prompt === 'string') {
    request.prompt = checkText('prompt', prompt)
  } else {
    request.tokens = checkTokens(prompt)
  }
  request.addSpecial = options.addSpecial ?? true
  request.parseSpecial = options.parseSpecial ?? false
  if (options.signal) request.signal = options.signal
  return request
}

/** @internal */
export function checkTokens(tokens: unknown): Int32Array {
  if (tokens instanceof Int32Array) return tokens
  if (
    Array.isArray(tokens) &&
    tokens.every((token) => Number.isInteger(token) && token >= 0 && token < 2 ** 31)
  ) {
    return Int32Array.from(tokens as number[])
  }
  throw new SottoError(
    'ERR_PROMPT_INVALID',
    `Expected the prompt to be a string, an Int32Array or an array of tokens, received ${received(tokens)}`,
  )
}
