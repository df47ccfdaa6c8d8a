// threads.ts: how many threads compute, and where. An option wins over OMP_NUM_THREADS, that over 'auto'.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { received, SottoError } from './errors.js'
import { homeFolder } from './models/home.js'
import type {
  NativeModel,
  NativeModelInfo,
  NativeSystemInfo,
  NativeThreadOptions,
} from './native.js'
import { checkOptions, integer, listOf, oneOf } from './options.js'

const most = 512 // GGML_MAX_N_THREADS
const priorities = ['low', 'normal', 'medium', 'high', 'realtime'] as const

export interface ThreadOptions {
  /** Threads that generate, 1 … 512. Default: as `auto`. */
  generation?: number
  /** Threads that process prompts, 1 … 512. Default: as generation. */
  prompt?: number
  /** CPU numbers to compute on. Default: any. */
  affinity?: number[]
  /** Default `normal`; above it needs rights that a user rarely has. */
  priority?: (typeof priorities)[number]
  /** How long a thread spins for the next piece of work before it sleeps, 0 … 100. Default 50. */
  poll?: number
}

/** `'auto'`, a count for everything, or the details. */
export type Threads = 'auto' | number | ThreadOptions

export interface ResolvedThreads extends NativeThreadOptions {
  /** The generation count is a guess that a probe may improve. */
  probe: boolean
}

/** @internal */
export function resolveThreads(
  option: Threads | undefined,
  cpu: NativeSystemInfo['cpu'],
  remembered: number | undefined,
  environment: string | undefined = process.env['OMP_NUM_THREADS'],
): ResolvedThreads {
  const given = readOption(option)
  const fromEnvironment = option === undefined ? readOmp(environment) : undefined
  const automatic = remembered ?? automaticCount(cpu)
  const generation = given.generation ?? fromEnvironment ?? automatic
  return {
    generation,
    prompt: given.prompt ?? given.generation ?? fromEnvironment ?? automaticCount(cpu),
    affinity: given.affinity ?? [],
    priority: priorities.indexOf(given.priority ?? 'normal') - 1,
    poll: given.poll ?? 50,
    probe:
      given.generation === undefined &&
      fromEnvironment === undefined &&
      remembered === undefined &&
      automatic > 1,
  }
}

function readOption(option: Threads | undefined): ThreadOptions {
  if (option === undefined || option === 'auto') return {}
  if (typeof option === 'number') {
    if (Number.isInteger(option) && option >= 1 && option <= most) return { generation: option }
  } else if (typeof option === 'object' && option !== null) {
    return checkOptions<ThreadOptions>('options.threads', option, {
      generation: integer(1, most),
      prompt: integer(1, most),
      affinity: listOf(integer(0, most - 1)),
      priority: oneOf(...priorities),
      poll: integer(0, 100),
    })
  }
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected options.threads to be 'auto', an integer from 1 to ${most} or an object, received ${received(option)}`,
  )
}

// OpenMP allows a list, one count for each nesting level; ggml has one level.
function readOmp(value: string | undefined): number | undefined {
  const count = Number(value?.split(',')[0])
  return value && Number.isInteger(count) && count >= 1 ? Math.min(count, most) : undefined
}

// Matrix units are one a core: a second hardware thread on it only takes turns. Efficiency cores make the fast ones wait at
// every barrier, and a quota smaller than the machine stops all threads when it is used up.
function automaticCount(cpu: NativeSystemInfo['cpu']): number {
  const allowed = cpu.quota > 0 ? Math.max(1, Math.floor(cpu.quota)) : Number.POSITIVE_INFINITY
  return Math.max(1, Math.min(cpu.performance, cpu.physical, allowed, most))
}

const probeTokens = 6
const slowestStepMs = 150
const mostForOthers = 0.2 // of one processor

/** What every other program has used of the processors, in milliseconds. */
function usedByOthers(): number {
  let all = 0
  for (const { times } of cpus()) all += times.user + times.nice + times.sys + times.irq
  const own = process.cpuUsage()
  return all - (own.user + own.system) / 1000
}

/**
 * @internal Tries a few counts and returns the fastest for generation; undefined when the model was busy, or the machine: what is
 * fastest beside another program is not what to remember. A model whose steps are slow is left at the guess: its probe would
 * be felt.
 */
export async function probeThreads(
  model: NativeModel,
  guess: number,
  others: () => number = usedByOthers,
): Promise<number | undefined> {
  const [start, before] = [performance.now(), others()]
  const candidates = [...new Set([guess, guess - 1, Math.ceil(guess / 2)])].filter(
    (count) => count >= 1,
  )
  let best: number | undefined
  let fastest = Number.POSITIVE_INFINITY
  for (const count of candidates) {
    const milliseconds = await model.measure(count, probeTokens)
    if (milliseconds < 0) return undefined
    // Fewer threads must be clearly faster: they are worse for everything that the probe does not see.
    if (milliseconds < fastest * 0.95) {
      fastest = milliseconds
      best = count
    }
    if (milliseconds > slowestStepMs) break
  }
  if (others() - before > mostForOthers * (performance.now() - start)) return undefined
  return best
}

const mostRemembered = 200

/** @internal What makes a probe's outcome valid again. */
export function threadKey(cpu: NativeSystemInfo['cpu'], model: NativeModelInfo): string {
  return [
    cpu.model,
    cpu.physical,
    cpu.performance,
    cpu.quota,
    cpu.variant,
    model.description,
    model.parameters,
  ].join('|')
}

function memoryFile(): string {
  return join(homeFolder(), 'threads.json')
}

function readMemory(): Record<string, number> {
  try {
    const stored: unknown = JSON.parse(readFileSync(memoryFile(), 'utf8'))
    if (typeof stored !== 'object' || stored === null) return {}
    return Object.fromEntries(
      Object.entries(stored).filter(
        ([, count]) => Number.isInteger(count) && count >= 1 && count <= most,
      ),
    )
  } catch {
    return {} // absent or corrupt: it is only a memory
  }
}

/** @internal */
export function recallThreads(key: string): number | undefined {
  return readMemory()[key]
}

/** @internal */
export function rememberThreads(key: string, count: number): void {
  const entries = Object.entries({ ...readMemory(), [key]: count }).slice(-mostRemembered)
  try {
    mkdirSync(homeFolder(), { recursive: true })
    const partial = `${memoryFile()}.${process.pid}`
    writeFileSync(partial, JSON.stringify(Object.fromEntries(entries)))
    renameSync(partial, memoryFile())
  } catch {
    // A read-only home: the probe runs again next time.
  }
}
