// sampling.ts: how a token is chosen from the logits. Names, defaults and meanings are llama.cpp's, in camelCase.

import { received, SottoError } from './errors.js'
import type { NativeSampling } from './native.js'
import { integer, listOf, number, type OptionRules, object, oneOf, text } from './options.js'

/** The samplers that can stand in {@link SamplingOptions.samplers}. */
export type SamplerName =
  | 'penalties'
  | 'dry'
  | 'topNSigma'
  | 'topK'
  | 'typicalP'
  | 'topP'
  | 'minP'
  | 'xtc'
  | 'temperature'

const nativeNames: Record<SamplerName, string> = {
  penalties: 'penalties',
  dry: 'dry',
  topNSigma: 'top_n_sigma',
  topK: 'top_k',
  typicalP: 'typical_p',
  topP: 'top_p',
  minP: 'min_p',
  xtc: 'xtc',
  temperature: 'temperature',
}

/** How tokens are chosen. Everything is optional. */
export interface SamplingOptions {
  /** Order of the samplers. Default: penalties, dry, topNSigma, topK, typicalP, topP, minP, xtc, temperature. */
  samplers?: SamplerName[]
  /**
   * 0 … 2^32 − 2: the same seed gives the same text, as long as the arithmetic is the same: a prefix from the cache or company
   * in the batch may round differently, `reusePrefix: false` and one answer at a time do not. Default: random.
   */
  seed?: number
  /** 0 … 100; 0 always takes the most likely token. Default 0.8. */
  temperature?: number
  /** 0 … 100: temperature varies by this much with the entropy of the logits. Default 0, off. */
  dynatempRange?: number
  /** 0 … 100: how entropy maps to temperature. Default 1. */
  dynatempExponent?: number
  /** Keep the k most likely tokens; 0: all. Default 40. */
  topK?: number
  /** 0 … 1: keep the most likely tokens that together have this probability; 1: all. Default 0.95. */
  topP?: number
  /** 0 … 1: drop tokens less likely than this share of the most likely one. Default 0.05. */
  minP?: number
  /** 0 … 1: locally typical sampling (arXiv 2202.00666); 1: off. Default 1. */
  typicalP?: number
  /** Keep tokens within n standard deviations of the best logit (arXiv 2411.07641); ≤ 0: off. Default −1. */
  topNSigma?: number
  /** 0 … 1: chance of removing all but the least likely of the tokens above xtcThreshold. Default 0, off. */
  xtcProbability?: number
  /** 0 … 1. Default 0.1; above 0.5 xtc does nothing. */
  xtcThreshold?: number
  /** ≥ 0: strength of the "don't repeat yourself" penalty. Default 0, off. */
  dryMultiplier?: number
  /** Default 1.75. */
  dryBase?: number
  /** Repetitions up to this many tokens are free. Default 2. */
  dryAllowedLength?: number
  /** How far back DRY looks, in tokens; −1: the training context. Default 64. */
  dryPenaltyLastN?: number
  /** Texts that end a repetition. Default: newline, colon, quote, asterisk. */
  drySequenceBreakers?: string[]
  /** 0 off, 1 or 2: mirostat (arXiv 2007.14966) in place of the truncating samplers. Default 0. */
  mirostat?: 0 | 1 | 2
  /** Target surprise of mirostat. Default 5. */
  mirostatTau?: number
  /** Learning rate of mirostat. Default 0.1. */
  mirostatEta?: number
  /** How many of the last tokens the penalties look at; −1: the training context, 0: none. Default 64. */
  repeatLastN?: number
  /** > 0; 1: off. Default 1. */
  repeatPenalty?: number
  /** −100 … 100. Default 0. */
  frequencyPenalty?: number
  /** −100 … 100. Default 0. */
  presencePenalty?: number
  /** Added to the logits, by token; −Infinity forbids a token. */
  logitBias?: Record<number, number> | Map<number, number>
  /** The truncating samplers leave at least this many tokens. Default 0. */
  minKeep?: number
}

export const samplingRules: OptionRules<SamplingOptions> = {
  samplers: listOf(oneOf(...(Object.keys(nativeNames) as SamplerName[])), 32),
  seed: integer(0, 2 ** 32 - 2),
  temperature: number(0, 100),
  dynatempRange: number(0, 100),
  dynatempExponent: number(0, 100),
  topK: integer(0, 2 ** 31 - 1),
  topP: number(0, 1),
  minP: number(0, 1),
  typicalP: number(0, 1),
  topNSigma: number(-1e6, 1e6),
  xtcProbability: number(0, 1),
  xtcThreshold: number(0, 1),
  dryMultiplier: number(0, 1e6),
  dryBase: number(0, 1e6),
  dryAllowedLength: integer(0, 2 ** 20),
  dryPenaltyLastN: integer(-1, 2 ** 20),
  drySequenceBreakers: listOf(text(), 1000),
  mirostat: oneOf<0 | 1 | 2>(0, 1, 2),
  mirostatTau: number(1e-3, 1e3),
  mirostatEta: number(1e-6, 1e3),
  repeatLastN: integer(-1, 2 ** 20),
  repeatPenalty: number(1e-3, 1e3),
  frequencyPenalty: number(-100, 100),
  presencePenalty: number(-100, 100),
  logitBias: object('an object or Map from token to number'),
  minKeep: integer(0, 2 ** 20),
}

const randomSeed = 0xffffffff // LLAMA_DEFAULT_SEED

/** Fills in the defaults; `options` has been checked. */
export function nativeSampling(options: SamplingOptions): NativeSampling {
  const [tokens, values] = readLogitBias(options.logitBias)
  return {
    order: (options.samplers ?? (Object.keys(nativeNames) as SamplerName[])).map(
      (name) => nativeNames[name],
    ),
    seed: options.seed ?? randomSeed,
    minKeep: options.minKeep ?? 0,
    temperature: options.temperature ?? 0.8,
    dynatempRange: options.dynatempRange ?? 0,
    dynatempExponent: options.dynatempExponent ?? 1,
    topK: options.topK ?? 40,
    topP: options.topP ?? 0.95,
    minP: options.minP ?? 0.05,
    typicalP: options.typicalP ?? 1,
    topNSigma: options.topNSigma ?? -1,
    xtcProbability: options.xtcProbability ?? 0,
    xtcThreshold: options.xtcThreshold ?? 0.1,
    dryMultiplier: options.dryMultiplier ?? 0,
    dryBase: options.dryBase ?? 1.75,
    dryAllowedLength: options.dryAllowedLength ?? 2,
    dryPenaltyLastN: options.dryPenaltyLastN ?? 64,
    drySequenceBreakers: options.drySequenceBreakers ?? ['\n', ':', '"', '*'],
    mirostat: options.mirostat ?? 0,
    mirostatTau: options.mirostatTau ?? 5,
    mirostatEta: options.mirostatEta ?? 0.1,
    repeatLastN: options.repeatLastN ?? 64,
    repeatPenalty: options.repeatPenalty ?? 1,
    frequencyPenalty: options.frequencyPenalty ?? 0,
    presencePenalty: options.presencePenalty ?? 0,
    logitBiasTokens: tokens,
    logitBiasValues: values,
  }
}

function readLogitBias(bias: SamplingOptions['logitBias']): [Int32Array, Float32Array] {
  const entries = bias instanceof Map ? [...bias] : Object.entries(bias ?? {})
  const tokens = new Int32Array(entries.length)
  const values = new Float32Array(entries.length)
  entries.forEach(([key, value], i) => {
    const token = Number(key)
    if (!Number.isInteger(token) || token < 0 || token > 2 ** 31 - 1) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected the keys of logitBias to be tokens, received ${received(key)}`,
      )
    }
    if (typeof value !== 'number' || Number.isNaN(value) || value === Number.POSITIVE_INFINITY) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected the values of logitBias to be finite or -Infinity, received ${received(value)}`,
      )
    }
    tokens[i] = token
    values[i] = value
  })
  return [tokens, values]
}
