// events.ts: what a manager says of its models, and to whom.

import type { SottoError } from '../errors.js'
import type { ModelInfo } from '../model.js'

interface Subject {
  /** The name that is served. */
  name: string
  /** The model that this is about: as it was given to `load` or `swap`. */
  source: string | string[]
}

/** What a load is at: `draining` waits until the model that it replaces is not used any more. */
export type ServePhase = 'verifying' | 'draining' | 'loading' | 'warming'

/** The events of a `ModelManager`, and what their listeners receive. */
export interface ManagerEvents {
  /** A model is about to be loaded; `bytes`: estimated memory. */
  loading: [Subject & { bytes: number }]
  progress: [Subject & { phase: ServePhase; fraction: number }]
  loaded: [Subject & { bytes: number; info: ModelInfo }]
  /** Its first token is computed, and the templates that it has to know. */
  warming: [Subject]
  /** From here on the name means this model; `previous`: what it meant before, if anything. */
  switched: [Subject & { previous?: string | string[] }]
  /** Nobody uses a model any more that is to go. */
  drained: [Subject]
  /** Its memory is free. */
  unloaded: [Subject & { reason: 'replaced' | 'idle' | 'evicted' | 'unload' | 'close' }]
  /** A model is about to be unloaded to make room for another. */
  evicted: [Subject & { bytes: number }]
  /** `serving`: what the name goes on with, if anything is loaded. */
  failed: [Subject & { error: SottoError | Error; serving?: string | string[] }]
}

export type Emit = <Name extends keyof ManagerEvents>(
  name: Name,
  ...event: ManagerEvents[Name]
) => void

/** Says something of one name. */
export type Say = <Name extends keyof ManagerEvents>(
  event: Name,
  source: string | string[],
  more?: Omit<ManagerEvents[Name][0], 'name' | 'source'>,
) => void
