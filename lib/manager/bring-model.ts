// bring-model.ts: a model from its file to its first token, with what is said on the way. What fails leaves nothing behind.

import { throwIfAborted } from '../abort.js'
import { estimateModel, loadModel } from '../load.js'
import type { Model } from '../model.js'
import type { Say, ServePhase } from './events.js'
import type { Call, Entry, Household } from './household.js'
import { LoadedModel } from './loaded-model.js'
import type { Place } from './memory-budget.js'
import { warmUp } from './warm-up.js'

/** What it comes to. */
interface Hall {
  name: string
  home: Household
  say: Say
  /** What the name means meanwhile. */
  serving: () => string | string[] | undefined
  onIdle: () => void
  /** How the model that it replaces makes room, if there is one. */
  giveWay: (() => (() => Promise<void>) | undefined) | undefined
}

/** Loads a model beside the current one, or after `giveWay`, and has it say a first token. Nobody sees it before. */
export async function bringModel(
  entry: Entry,
  { signal, onProgress }: Call,
  { name, home, say, serving, onIdle, giveWay }: Hall,
): Promise<LoadedModel> {
  const { source } = entry
  const tell = (phase: ServePhase, fraction: number) => {
    home.emit('progress', { name, source, phase, fraction })
    onProgress?.({ phase, fraction })
  }
  let place: Place | undefined
  let model: Model | undefined
  try {
    const { total: bytes } = await estimateModel(source, entry.load)
    say('loading', source, { bytes })
    place = await home.budget.reserve({
      ...{ name, bytes, whenFull: entry.whenFull, signal },
      ...(giveWay && { giveWay }),
    })
    return await home.loads.run(async () => {
      model = await loadModel(source, {
        ...entry.load,
        ...(signal && { signal }),
        onProgress: ({ phase, fraction }) => tell(phase, fraction),
      })
      say('loaded', source, { bytes, info: model.info })
      say('warming', source)
      tell('warming', 0)
      await warmUp(model, signal)
      tell('warming', 1)
      const pins = await home.templates.pinAll(name, model, signal)
      throwIfAborted(signal, `Loading ${name}`)
      return new LoadedModel(model, source, pins, place!, onIdle, home.chats)
    })
  } catch (error) {
    await model?.close()
    place?.free()
    const still = serving()
    say('failed', source, { error: error as Error, ...(still && { serving: still }) })
    throw error
  }
}
