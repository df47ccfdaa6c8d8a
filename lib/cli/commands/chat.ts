// chat.ts: sotto chat: many turns. Ctrl-C stops the answer, not the program.

import { SottoError } from '../../errors.js'
import type { Model } from '../../model.js'
import { writeAnswer } from '../answer.js'
import { Conversation } from '../conversation.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { failureLine } from '../failure.js'
import { LineReader } from '../line-reader.js'
import { type LoadFlags, openModel } from '../open-model.js'
import { write } from '../output.js'
import { printable } from '../printable.js'
import { type SamplingFlags, samplingOptions } from '../sampling-flags.js'

interface ChatFlags extends LoadFlags, SamplingFlags {
  system?: string
  reasoning: boolean
}

export async function chat(name: string, flags: ChatFlags): Promise<ExitCode> {
  const loading = new AbortController()
  const signals = new SignalSwitch(() => loading.abort())
  try {
    await using model = await openModel(name, flags, loading.signal)
    if (model.info.chatTemplate === '') {
      throw new SottoError(
        'ERR_TEMPLATE_MISSING',
        `Expected a model with a chat template, ${name} has none: use sotto run`,
      )
    }
    const conversation = new Conversation(model, {
      ...samplingOptions(flags),
      system: flags.system,
      reasoning: flags.reasoning,
    })
    return await talk(model, conversation, signals)
  } catch (error) {
    if (loading.signal.aborted) return exitCodes.interrupted
    throw error
  } finally {
    signals.close()
  }
}

async function talk(
  model: Model,
  conversation: Conversation,
  signals: SignalSwitch,
): Promise<ExitCode> {
  const reader = new LineReader()
  if (reader.terminal)
    process.stderr.write(
      `${printable(model.info.name || model.info.description)}. /help shows the commands.\n`,
    )
  let exit: ExitCode = exitCodes.ok
  try {
    while (true) {
      signals.action = () => reader.interrupt()
      const line = await nextLine(reader)
      if (line === undefined) return reader.interrupted ? exitCodes.interrupted : exit
      signals.resume()
      try {
        const reply = conversation.reply(line)
        if (reply === 'end') return exit
        if ('say' in reply) {
          await write(reply.say)
          continue
        }
        signals.action = () => reply.stream.abort()
        const { finishReason } = await writeAnswer(reply.stream)
        if (finishReason !== 'abort') continue
        if (!reader.terminal) return exitCodes.interrupted // nobody is there to go on
        signals.pause()
      } catch (error) {
        const hint =
          error instanceof SottoError && error.code === 'ERR_PROMPT_TOO_LONG'
            ? ' /reset forgets the conversation.'
            : ''
        process.stderr.write(`${failureLine(error)}${hint}\n`)
        if (!reader.terminal) exit = exitCodes.failure
      }
    }
  } finally {
    reader.close()
  }
}

// A line that ends in a backslash goes on in the next one.
async function nextLine(reader: LineReader): Promise<string | undefined> {
  let text = ''
  while (true) {
    const line = await reader.next()
    if (line === undefined) return text === '' || reader.interrupted ? undefined : text
    if (!line.endsWith('\\')) return text + line
    text += `${line.slice(0, -1)}\n`
  }
}

const echoMs = 500

/** SIGINT, and what it does at the moment. */
class SignalSwitch {
  action: () => void
  #deafUntil = 0
  readonly #onSignal = () => {
    if (performance.now() >= this.#deafUntil) this.action()
  }

  constructor(action: () => void) {
    this.action = action
    process.on('SIGINT', this.#onSignal)
  }

  /** npx passes the terminal's signal on to a program that has had it already: the echo must not end the program. */
  pause(): void {
    this.#deafUntil = performance.now() + echoMs
  }

  /** Whoever types a line has heard the answer stop: what comes now is meant. */
  resume(): void {
    this.#deafUntil = 0
  }

  close(): void {
    process.off('SIGINT', this.#onSignal)
  }
}
