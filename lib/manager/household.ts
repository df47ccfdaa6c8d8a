// household.ts: what the names of a manager share, and what is said of each.

import { SottoError } from '../errors.js'
import type { LoadOptions } from '../load.js'
import type { Emit, ServePhase } from './events.js'
import type { Line } from './line.js'
import type { MemoryBudget } from './memory-budget.js'
import type { OpenChats } from './open-chats.js'
import type { PromptTemplates } from './prompt-templates.js'
import type { ServedModel } from './served-model.js'

/** What a name stands for, also while nothing is loaded. */
export interface Entry {
  source: string | string[]
  load: Omit<LoadOptions, 'signal' | 'onProgress'>
  /** Milliseconds. */
  idleTimeout: number
  whenFull: 'fail' | 'drain'
  keep: boolean
  onDemand: boolean
}

/** Of one call of load or swap. */
export interface Call {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: { phase: ServePhase; fraction: number }) => void) | undefined
}

/** What the names of a manager share. */
export interface Household {
  budget: MemoryBudget
  /** One load at a time: they would take the same disk and the same cores from each other, and libuv's threads from everybody. */
  loads: Line
  templates: PromptTemplates
  /** Undefined where none are kept. */
  chats: OpenChats | undefined
  emit: Emit
  /** Removes a name. */
  forget(served: ServedModel): void
}

export function closed(): SottoError {
  return new SottoError('ERR_MANAGER_CLOSED', 'The model manager is closed: make a new one')
}
