// run.ts: sotto run: one prompt, one answer.

import { readFile } from 'node:fs/promises'
import { SottoError } from '../../errors.js'
import type { Model } from '../../model.js'
import type { ChatPart, StreamResult, TokenStream } from '../../token-stream.js'
import { writeAnswer } from '../answer.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { readStdin } from '../input.js'
import { Interrupt } from '../interrupt.js'
import { type LoadFlags, openModel } from '../open-model.js'
import { writeJson } from '../output.js'
import { type SamplingFlags, samplingOptions } from '../sampling-flags.js'

interface RunFlags extends LoadFlags, SamplingFlags {
  system?: string
  reasoning: boolean
  raw?: boolean
  grammarFile?: string
  jsonSchema?: string
  timings?: boolean
  json?: boolean
  ndjson?: boolean
}

export async function run(name: string, words: string[], flags: RunFlags): Promise<ExitCode> {
  using interrupt = new Interrupt()
  const { signal } = interrupt
  try {
    const rules = await readRules(flags)
    const prompt = await readPrompt(words, signal)
    await using model = await openModel(name, flags, signal)
    const stream = start(model, prompt, flags, { ...samplingOptions(flags), ...rules, signal })
    const result = await print(stream, model.info.name || name, flags)
    if (flags.timings) process.stderr.write(timings(result))
    return result.finishReason === 'abort' ? exitCodes.interrupted : exitCodes.ok
  } catch (error) {
    if (interrupt.happened && error instanceof SottoError && error.code === 'ERR_ABORTED')
      return exitCodes.interrupted
    throw error
  }
}

async function readPrompt(words: string[], signal: AbortSignal): Promise<string> {
  const fromStdin = words.length === 0 || (words.length === 1 && words[0] === '-')
  const prompt = fromStdin ? (await readStdin('a prompt', signal)).trimEnd() : words.join(' ')
  if (prompt !== '') return prompt
  throw new SottoError(
    'ERR_PROMPT_INVALID',
    'Expected a prompt as an argument or on stdin, received an empty one',
  )
}

async function readRules({
  grammarFile,
  jsonSchema,
}: RunFlags): Promise<{ grammar?: string; jsonSchema?: string }> {
  if (grammarFile !== undefined)
    return { grammar: await readRuleFile('--grammar-file', grammarFile) }
  if (jsonSchema === undefined) return {}
  return {
    jsonSchema: jsonSchema.trimStart().startsWith('{')
      ? jsonSchema
      : await readRuleFile('--json-schema', jsonSchema),
  }
}

async function readRuleFile(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected ${option} to be a readable file: ${(cause as Error).message}`,
      { cause },
    )
  }
}

type AnswerOptions = SamplingFlags & { grammar?: string; jsonSchema?: string; signal: AbortSignal }

function start(
  model: Model,
  prompt: string,
  flags: RunFlags,
  options: AnswerOptions,
): TokenStream<ChatPart> {
  const raw = flags.raw || model.info.chatTemplate === ''
  if (raw && flags.system !== undefined) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected no --system ${flags.raw ? 'beside --raw' : 'for a model without a chat template'}: put the text into the prompt`,
    )
  }
  if (raw) return model.complete(prompt, options) as TokenStream<ChatPart>
  const chat = model.chat({ system: flags.system, reasoning: flags.reasoning })
  return chat.send(prompt, options)
}

async function print(
  stream: TokenStream<ChatPart>,
  model: string,
  { json, ndjson }: RunFlags,
): Promise<StreamResult> {
  if (!json && !ndjson) return writeAnswer(stream)
  if (ndjson) for await (const part of stream) await writeJson(part)
  const result = await stream.result
  await writeJson(ndjson ? { type: 'result', model, ...result } : { model, ...result })
  return result
}

function timings({ usage, timings }: StreamResult): string {
  return (
    `prompt ${usage.tokensPrompt} tokens (${usage.tokensReused} reused) in ${timings.promptMs.toFixed(0)} ms, ` +
    `first token after ${timings.firstTokenMs.toFixed(0)} ms, ` +
    `${usage.tokensGenerated} tokens at ${timings.tokensPerSecond.toFixed(1)} tokens/s` +
    (usage.tokensDrafted ? `, ${usage.tokensAccepted} of ${usage.tokensDrafted} drafted\n` : '\n')
  )
}
