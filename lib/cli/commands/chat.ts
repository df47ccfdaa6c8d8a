// chat.ts: sotto chat: many turns on one terminal. Ctrl-C stops the answer, not the program.

import { createInterface, type Interface } from 'node:readline'
import type { Chat } from '../../chat.js'
import type { ExitCode } from '../main.js'
import { type LoadFlags, openModel, type SamplingFlags, samplingOf } from '../open-model.js'

interface ChatFlags extends LoadFlags, SamplingFlags {
  system?: string
}

const help = '/reset forgets the conversation, /history shows it, /exit or Ctrl-D ends; Ctrl-C stops an answer\n'

export async function chat(name: string, flags: ChatFlags): Promise<ExitCode> {
  await using model = await openModel(name, flags)
  const conversation = model.chat({ ...(flags.system ? { system: flags.system } : {}), ...samplingOf(flags) })
  const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal, prompt: terminal ? '> ' : '' })
  if (terminal) process.stderr.write(`${model.info.name || name}. /help shows the commands.\n`)
  let exit: ExitCode = 0
  let interrupted = false
  let stop: (() => void) | undefined
  // On a terminal readline sees Ctrl-C as a key; in a pipe it is a signal.
  const onInterrupt = () => {
    if (stop) {
      stop()
    } else if (interrupted || !terminal) {
      exit = 130
      lines.close()
    } else {
      interrupted = true
      process.stdout.write('\n(Ctrl-C again ends the program)\n')
      lines.prompt()
    }
  }
  lines.on('SIGINT', onInterrupt)
  process.on('SIGINT', onInterrupt)
  lines.prompt()
  try {
    for await (const line of lines) {
      interrupted = false
      if (!(await turn(conversation, line, lines, (abort) => {
        stop = abort
      }))) break
      lines.prompt()
    }
  } finally {
    process.off('SIGINT', onInterrupt)
    lines.close()
  }
  return exit
}

// False: the user wants to leave.
async function turn(conversation: Chat, line: string, lines: Interface, setStop: (stop: (() => void) | undefined) => void): Promise<boolean> {
  const text = line.trim()
  if (text === '') return true
  if (text === '/exit' || text === '/quit') return false
  if (text === '/help') process.stdout.write(help)
  else if (text === '/reset') conversation.reset()
  else if (text === '/history') {
    for (const { role, content } of conversation.history) process.stdout.write(`${role}: ${content}\n`)
  } else if (/^\/\w+$/.test(text)) {
    process.stdout.write(`Unknown command ${text}. ${help}`)
  } else {
    const stream = conversation.send(text)
    setStop(() => stream.abort())
    try {
      for await (const part of stream) if (part.type === 'text') process.stdout.write(part.text)
      process.stdout.write('\n')
    } catch (error) {
      process.stderr.write(`sotto: ${(error as Error).message}\n`)
    } finally {
      setStop(undefined)
      lines.resume()
    }
  }
  return true
}
