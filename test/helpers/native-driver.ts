// native-driver.ts: the native side of the border, driven by hand, for tests of what lies on the JavaScript side: which events
// come when is the test's to say. Everything that needs a model runs against the real addon instead.

import { NativeEventKind, type NativeModel, type NativeResult } from '../../lib/native.js'
import { RequestRouter } from '../../lib/request-router.js'
import { TokenStream } from '../../lib/token-stream.js'

const result: NativeResult = {
  finishReason: 'stop',
  stopString: '',
  queueMs: 1,
  promptMs: 2,
  firstTokenMs: 3,
  totalMs: 13,
  tokensPrompt: 5,
  tokensReused: 4,
  tokensGenerated: 11,
  tokensDrafted: 6,
  tokensAccepted: 3,
}

export class NativeDriver {
  readonly submitted: number[] = []
  readonly cancelled: number[] = []
  readonly pauses: [id: number, paused: boolean][] = []
  readonly router = new RequestRouter()
  readonly native = {
    cancel: (id: number) => void this.cancelled.push(id),
    pause: (id: number, paused: boolean) => void this.pauses.push([id, paused]),
  } as Partial<NativeModel> as NativeModel

  begin(signal?: AbortSignal): TokenStream {
    return new TokenStream(
      this.router.startAnswer(this.native, signal, (id) => this.submitted.push(id)),
    )
  }

  get lastId(): number {
    return this.submitted.at(-1)!
  }

  emit(kind: keyof typeof NativeEventKind, payload: unknown): void {
    this.router.onEvents([this.lastId, NativeEventKind[kind], payload])
  }

  /** One wake-up with many pieces of text. */
  texts(...pieces: string[]): void {
    this.router.onEvents(pieces.flatMap((piece) => [this.lastId, NativeEventKind.text, piece]))
  }

  done(changes: Partial<NativeResult> = {}): void {
    this.emit('done', { ...result, ...changes })
  }

  failed(code: string, message = 'it failed'): void {
    this.emit('failed', { code, message })
  }
}
