// devices.ts: what can compute.

import type { NativeDevice } from '../native.js'
import { systemInfo } from '../system.js'

/** `name` is what {@link ContextOptions} takes; memory in bytes, 0 where unknown. */
export type Device = NativeDevice

/**
 * What a context can live on: the CPU, and the GPUs that this build has a backend for.
 *
 * @example
 * ```ts
 * import * as ggml from 'sotto/ggml'
 * const context = new ggml.Context({ memSize: 2 ** 20, device: ggml.devices()[0].name })
 * await context.close()
 * ```
 */
export function devices(): Device[] {
  return systemInfo().devices
}
