// chat-folder.ts: conversations on disk, by whose they are and their names.

import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { ChatMessage } from '../chat.js'
import { onDisk } from '../gguf/new-file.js'
import type { NativeContextState } from '../native.js'
import { StateFile, writeState } from './state-file.js'
import { ownerDigest, prepareFolder, statePath } from './state-folder.js'

export interface ChatName {
  principal: string
  id: string
}

export class ChatFolder {
  readonly #path: string
  readonly #key: KeyObject | undefined

  private constructor(path: string, key: KeyObject | undefined) {
    this.#path = path
    this.#key = key
  }

  static of({ folder, key }: { folder?: string; key?: KeyObject }): ChatFolder | undefined {
    return folder === undefined ? undefined : new ChatFolder(folder, key)
  }

  /** Makes it. Errors: `ERR_DISK`; `ERR_OPTION_INVALID` where others may write. */
  prepare(): Promise<void> {
    return prepareFolder(this.#path)
  }

  has(name: ChatName): boolean {
    return existsSync(this.#pathOf(name))
  }

  /** Undefined where there is none. The caller closes it. Errors: `ERR_STATE_INVALID`. */
  open(name: ChatName): Promise<StateFile | undefined> {
    return StateFile.open(this.#pathOf(name), { owner: this.#ownerOf(name), key: this.#key })
  }

  /** What was said, and what `model` has computed of it. Errors: `ERR_DISK`. */
  async write(
    name: ChatName,
    model: Uint8Array,
    messages: ChatMessage[],
    state: NativeContextState | undefined,
  ): Promise<void> {
    const owner = this.#ownerOf(name)
    await writeState(this.#pathOf(name), { owner, model, key: this.#key }, messages, state)
  }

  /** Errors: `ERR_DISK`. */
  async remove(name: ChatName): Promise<void> {
    await onDisk(() => rm(this.#pathOf(name), { force: true }))
  }

  #ownerOf({ principal, id }: ChatName): Buffer {
    return ownerDigest(principal, id, this.#key)
  }

  #pathOf(name: ChatName): string {
    return statePath(this.#path, this.#ownerOf(name))
  }
}
