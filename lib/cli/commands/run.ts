// run.ts: sotto run: one prompt, one answer.

import { readFile } from 'node:fs/promises'
import { SottoError } from '../../errors.js'
import type { Model } from '../../model.js'
import type { ChatPart, TokenStream } from '../../token-stream.js'
import type { ExitCode } from '../main.js'
import { type LoadFlags, openModel, readStdin, type SamplingFlags, samplingOf } from '../open-model.js'

interface RunFlags extends LoadFlags, SamplingFlags {
  system?: string
  raw?: boolean
  grammarFile?: string
  jsonSchema?: string
  timings?: boolean
  json?: boolean
}

export async function run(name: string, argument: string | undefined, flags: RunFlags): Promise<ExitCode> {
  const prompt = argument === undefined || argument === '-' ? (await readStdin()).trimEnd() : argument
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.on('SIGINT', onInterrupt)
  try {
    await using model = await openModel(name, flags, interrupt.signal)
    const stream = await start(model, prompt, flags, interrupt.signal)
    if (!flags.json) {
      for await (const part of stream) if (part.type === 'text') process.stdout.write(part.text)
      process.stdout.write('\n')
    }
    const result = await stream.result
    if (flags.json) process.stdout.write(`${JSON.stringify({ model: model.info.name || name, ...result })}\n`)
    if (flags.timings) {
      const { usage, timings } = result
      process.stderr.write(
        `prompt ${usage.tokensPrompt} tokens (${usage.tokensReused} reused) in ${timings.promptMs.toFixed(0)} ms, ` +
          `first token after ${timings.firstTokenMs.toFixed(0)} ms, ` +
          `${usage.tokensGenerated} tokens at ${timings.tokensPerSecond.toFixed(1)} tokens/s\n`,
      )
    }
    return result.finishReason === 'abort' ? 130 : 0
  } catch (error) {
    if (interrupt.signal.aborted && error instanceof SottoError && error.code === 'ERR_ABORTED') return 130
    throw error
  } finally {
    process.off('SIGINT', onInterrupt)
  }
}

async function start(model: Model, prompt: string, flags: RunFlags, signal: AbortSignal): Promise<TokenStream<ChatPart>> {
  const options = {
    ...samplingOf(flags),
    signal,
    ...(flags.grammarFile ? { grammar: await readFile(flags.grammarFile, 'utf8') } : {}),
    ...(flags.jsonSchema ? { jsonSchema: await readFile(flags.jsonSchema, 'utf8') } : {}),
  }
  if (flags.raw || !model.info.chatTemplate) return model.complete(prompt, options) as TokenStream<ChatPart>
  return model.chat(flags.system ? { system: flags.system } : {}).send(prompt, options)
}
