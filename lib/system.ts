// system.ts: what this machine and this build can do.

import { type NativeSystemInfo, native } from './native.js'

/**
 * See {@link systemInfo}. Memory in bytes, 0 where unknown; `quota` is the cgroup's CPU limit in cores, 0 for none; `kernels` the
 * instruction set of our matrix kernels, or `off`.
 */
export type SystemInfo = NativeSystemInfo

/**
 * CPU features, the CPU variant in use, compute devices and versions.
 *
 * @example
 * ```ts
 * import { systemInfo } from 'sotto'
 * console.log(systemInfo().cpu.variant, systemInfo().devices.map((device) => device.name))
 * ```
 */
export function systemInfo(): SystemInfo {
  return native().systemInfo()
}
