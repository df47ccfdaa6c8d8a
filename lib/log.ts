// log.ts: how much native code says on stderr. SOTTO_LOG sets it for a process, setLogLevel() while it runs.

import { native } from './native.js'
import { checkOptions, oneOf } from './options.js'

const levels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof levels)[number]

/** Sets what sotto, ggml and llama.cpp write to stderr, for the whole process. Default `error`. */
export function setLogLevel(level: LogLevel): void {
  checkOptions<{ level: LogLevel }>('setLogLevel', { level }, { level: oneOf(...levels) })
  native().setLogLevel(levels.indexOf(level))
}
