// conversation.ts: what sotto chat does with a line: answer it, or do what it says behind its slash.

import type { Chat, ChatOptions } from '../chat.js'
import type { Model } from '../model.js'
import type { ChatPart, TokenStream } from '../token-stream.js'
import { printable } from './printable.js'

const help = `/system [text]  show the system message, or set it and begin again
/history        show the conversation
/reset          forget it, keep the system message
/exit           end; so does Ctrl-D
Ctrl-C stops an answer. A line that ends in \\ goes on in the next.
`

/** What a line led to: an answer to read, something to say, or the end. */
export type Reply = { stream: TokenStream<ChatPart> } | { say: string } | 'end'

export class Conversation {
  readonly #model: Model
  readonly #options: ChatOptions
  #chat: Chat

  constructor(model: Model, options: ChatOptions) {
    this.#model = model
    this.#options = options
    this.#chat = model.chat(options)
  }

  reply(line: string): Reply {
    const text = line.trim()
    const [, command, argument = ''] = /^(\/\w+)(?:\s+(.*))?$/s.exec(text) ?? []
    switch (command) {
      case '/help':
        return { say: help }
      case '/exit':
      case '/quit':
        return 'end'
      case '/reset':
        this.#chat.reset()
        return { say: 'Forgotten.\n' }
      case '/system':
        return { say: this.#system(argument) }
      case '/history':
        return { say: this.#history() }
    }
    if (text === '') return { say: '' }
    // "/etc/hosts is what?" is a question, "/rest" a slip.
    if (command && argument === '')
      return { say: `There is no command ${printable(command)}.\n${help}` }
    return { stream: this.#chat.send(text) }
  }

  #system(text: string): string {
    if (text === '') {
      const first = this.#chat.history[0]
      return first?.role === 'system'
        ? `${printable(first.content)}\n`
        : 'There is no system message.\n'
    }
    this.#chat = this.#model.chat({ ...this.#options, system: text })
    return 'A new conversation.\n'
  }

  #history(): string {
    return this.#chat.history
      .map(({ role, content }) => `${role}: ${printable(content)}\n`)
      .join('')
  }
}
