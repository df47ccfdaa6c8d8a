// lease.ts: what keeps a model alive and usable whatever its name turns to.

import type { Model, ModelInfo } from '../model.js'
import type { LoadedModel } from './loaded-model.js'

// A lease that nobody can reach any more would keep its model for ever.
const forgotten = new FinalizationRegistry<() => void>((release) => release())

/**
 * Holds a model: while it is held the model is neither unloaded nor closed by a swap. Answers that were begun with it run to their end
 * also after its release.
 *
 * @example
 * ```ts
 * import { ModelManager } from 'sotto'
 * await using manager = new ModelManager()
 * await manager.load('chat', 'smollm2-135m-instruct')
 * await using lease = await manager.lease('chat')
 * console.log(await lease.model.countTokens('How long is this?'), lease.source)
 * ```
 */
export class ModelLease implements Disposable, AsyncDisposable {
  /** The model that the name meant when the lease was taken. Closing it is releasing the lease. */
  readonly model: Model
  readonly source: string | string[]

  /** @internal From `ModelManager.lease`. */
  constructor(loaded: LoadedModel) {
    const letGo = loaded.hold()
    loaded.leases++
    let held = true
    const release = () => {
      if (!held) return
      held = false
      loaded.leases--
      letGo()
    }
    this.source = loaded.source
    this.model = loaded.model.lend(release)
    // The model, not the lease: who has only kept that still uses it.
    forgotten.register(this.model, release)
  }

  get info(): ModelInfo {
    return this.model.info
  }

  /** May be called twice. Afterwards `model` fails with `ERR_MODEL_CLOSED`. */
  release(): void {
    void this.model.close()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release()
  }
}
