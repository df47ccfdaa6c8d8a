// context-shelf.ts: from the memory of a model to files, and back: how what was computed of one conversation changes its place.

import { SottoError } from '../errors.js'
import { stateDigest } from '../model-origin.js'
import { fromNative, type NativeModel } from '../native.js'
import type { ChatFolder } from './chat-folder.js'
import type { ContextCacheEvent } from './context-options.js'
import { type Kept, move } from './kept-context.js'
import type { StateFile } from './state-file.js'

type Say = (type: ContextCacheEvent['type'], kept: Kept, error?: unknown) => void

/** Its methods, but `drop` and `save`, are for `move`. */
export class ContextShelf {
  readonly #native: NativeModel
  readonly #folder: ChatFolder | undefined
  readonly #wipe: boolean
  readonly #say: Say
  #digest: Promise<Buffer> | undefined

  constructor(native: NativeModel, folder: ChatFolder | undefined, wipe: boolean, say: Say) {
    this.#native = native
    this.#folder = folder
    this.#wipe = wipe
    this.#say = say
  }

  /** From memory to disk, or to nowhere. */
  async leave(kept: Kept): Promise<void> {
    if (kept.place !== 'memory') return
    let error: unknown
    try {
      if (this.#folder === undefined) this.drop(kept)
      else if (await this.#write(kept, true)) {
        kept.place = 'disk'
        this.#say('spilled', kept)
        return
      }
    } catch (cause) {
      error = fromNative(cause)
    }
    kept.place = 'nowhere'
    kept.parked = false
    this.#say('dropped', kept, error)
  }

  /** From disk to native code, whose request waits for it. */
  async come(kept: Kept): Promise<void> {
    kept.coming = false
    await kept.parent?.moving
    const from = kept.place === 'disk' ? kept : kept.parent
    const file = from?.place === 'disk' ? await this.#openFile(from) : undefined
    try {
      if (file && file.header.tokens > 0) {
        const digest = await this.#modelDigest()
        if (!digest.equals(file.header.model))
          throw new SottoError(
            'ERR_STATE_INVALID',
            'Expected what this model computed, received what another one did, or this one with other options',
          )
        const state = await file.state()
        if (state) {
          kept.restoring = true
          this.#native.restoreContext(kept.context, kept.principal, state)
          return
        }
      }
    } catch (error) {
      this.#say('refused', kept, fromNative(error))
    } finally {
      await file?.close()
      kept.parent = undefined
      if (kept.place === 'disk') kept.place = 'nowhere' // until native code says more
    }
    try {
      this.#native.expectContext(kept.context, false)
    } catch {
      // The model is closed, and so is the request.
    }
  }

  /** Writes it; it stays where it is. Errors: `ERR_DISK`, `ERR_MODEL_CLOSED`. */
  async save(kept: Kept): Promise<void> {
    let failure: { error: unknown } | undefined
    await move(kept, async () => {
      if (kept.place === 'disk') return
      await this.#write(kept, false).then(
        () => this.#say('saved', kept),
        (error) => {
          failure = { error: fromNative(error) }
        },
      )
    })
    if (failure) throw failure.error
  }

  /** Out of memory, and nowhere else. */
  drop(kept: Kept): void {
    try {
      this.#native.dropContext(kept.context, this.#wipe)
    } catch {
      // The model is closed, and has nothing any more.
    }
  }

  /** False where native code has nothing that could be restored. With `evict` it then has nothing any more. */
  async #write(kept: Kept, evict: boolean): Promise<boolean> {
    const state =
      kept.place === 'memory'
        ? await this.#native.saveContext(kept.context, evict, evict && this.#wipe)
        : undefined
    if (evict && !state) return false
    try {
      const model = await this.#modelDigest()
      await this.#folder!.write(kept, model, kept.chat.deref()?.history ?? [], state)
      return true
    } finally {
      state?.close()
    }
  }

  async #openFile(kept: Kept): Promise<StateFile | undefined> {
    try {
      return await this.#folder?.open(kept)
    } catch (error) {
      this.#say('refused', kept, error)
      return undefined
    }
  }

  #modelDigest(): Promise<Buffer> {
    this.#digest ??= stateDigest(this.#native)
    return this.#digest
  }
}
