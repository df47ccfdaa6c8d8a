// memory-budget.ts: how many bytes the models of a manager may take together, and who goes when another needs room. Bytes are
// estimates, made before a model is loaded; what is reserved is reserved before a byte of it is taken.

import { throwIfAborted, untilAborted } from '../abort.js'
import { SottoError } from '../errors.js'

/** Room for one model. */
export interface Place {
  readonly bytes: number
  /** May be called twice. */
  free(): void
}

/** A model that has room, as far as others may claim it. */
export interface Tenant {
  name: string
  bytes: number
  lastUsed: number
  state: 'idle' | 'busy' | 'keep' | 'going'
  /** Unloads it, unless somebody has begun to use it in the meantime. */
  evict(): Promise<unknown>
}

export interface Claim {
  name: string
  bytes: number
  /** Whether to wait for models that are in use, or to fail. */
  whenFull: 'fail' | 'drain'
  /** Gives up the model that is to be replaced; undefined when there is none (any more). */
  giveWay?: () => (() => Promise<void>) | undefined
  signal?: AbortSignal | undefined
}

const what = 'Waiting for memory'

export class MemoryBudget {
  readonly limit: number
  readonly #tenants: () => Tenant[]
  #used = 0
  #waiting: (() => void)[] = []

  constructor(limit: number, tenants: () => Tenant[]) {
    this.limit = limit
    this.#tenants = tenants
  }

  /** Bytes that are taken or reserved. */
  get used(): number {
    return this.#used
  }

  /**
   * Makes room: idle models go first, least recently used first. With `drain` then the model that is to be replaced, as soon as it is not
   * used any more, and whatever else becomes idle. Nothing is unloaded where that would not be enough.
   */
  async reserve(claim: Claim): Promise<Place> {
    for (;;) {
      throwIfAborted(claim.signal, what)
      const missing = this.#used + claim.bytes - this.limit
      if (missing <= 0) return this.#take(claim.bytes)
      const tenants = this.#tenants().filter(({ name }) => name !== claim.name)
      const idle = tenants
        .filter(({ state }) => state === 'idle')
        .sort((a, b) => a.lastUsed - b.lastUsed)
      if (sum(idle) >= missing) {
        await idle[0]!.evict()
        continue
      }
      const kept = tenants.filter(({ state }) => state === 'keep')
      if (claim.whenFull === 'fail' || sum(kept) + claim.bytes > this.limit) throw this.#full(claim)
      const going = this.#tenants().filter(({ state }) => state === 'going')
      const giveWay = claim.giveWay?.()
      if (giveWay && sum(idle) + sum(going) < missing) await giveWay()
      else await untilAborted(this.#change(), claim.signal, what)
    }
  }

  /** To be called when a model has become idle or its name has finished what it was at. */
  changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #take(bytes: number): Place {
    this.#used += bytes
    let taken = true
    return {
      bytes,
      free: () => {
        if (!taken) return
        taken = false
        this.#used -= bytes
        this.changed()
      },
    }
  }

  #full({ name, bytes }: Claim): SottoError {
    const others = this.#tenants().map(
      (other) => `${other.name} ${mib(other.bytes)} (${other.state})`,
    )
    return new SottoError(
      'ERR_MODEL_MEMORY',
      `Expected ${name} to fit into a memory budget of ${mib(this.limit)}, of which ${mib(this.#used)} are taken` +
        `${others.length > 0 ? ` by ${others.join(', ')}` : ''}; it needs about ${mib(bytes)}: use a smaller model, contextSize or ` +
        "cacheType, a larger memoryBudget, or whenFull: 'drain'",
    )
  }
}

const sum = (tenants: Tenant[]) => tenants.reduce((bytes, tenant) => bytes + tenant.bytes, 0)
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 24 ? 1 : 0)} MiB`
