// sampling-flags.ts: the options of an answer as the shell names them; the library checks their values.

import type { GenerationOptions } from '../completion.js'

export type SamplingFlags = Pick<
  GenerationOptions,
  'maxTokens' | 'temperature' | 'topK' | 'topP' | 'minP' | 'seed' | 'stop'
>

export function samplingOptions(flags: SamplingFlags): SamplingFlags {
  const { maxTokens, temperature, topK, topP, minP, seed, stop } = flags
  return { maxTokens, temperature, topK, topP, minP, seed, stop }
}
