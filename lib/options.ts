// options.ts: one small checker for every set of options: type, range, and the name that was probably meant.

import { received, SottoError } from './errors.js'

/** What an option must be. `T` is the type of the option. */
export interface OptionRule<T> {
  /** In words, after "to be". */
  expected: string
  accepts: (value: unknown) => value is T
}

export type OptionRules<Options> = {
  [Name in keyof Options]-?: OptionRule<NonNullable<Options[Name]>>
}

function rule<T>(expected: string, accepts: (value: unknown) => boolean): OptionRule<T> {
  return { expected, accepts: accepts as (value: unknown) => value is T }
}

const isNumber = (value: unknown): value is number => typeof value === 'number'

export const text = () => rule<string>('a string', (value) => typeof value === 'string')
export const flag = () => rule<boolean>('a boolean', (value) => typeof value === 'boolean')
export const callback = <F>() => rule<F>('a function', (value) => typeof value === 'function')
export const abortSignal = () =>
  rule<AbortSignal>('an AbortSignal', (value) => value instanceof AbortSignal)
export const integer = (least: number, most: number) =>
  rule<number>(
    `an integer from ${least} to ${most}`,
    (value) => isNumber(value) && Number.isInteger(value) && value >= least && value <= most,
  )
export const number = (least: number, most: number) =>
  rule<number>(
    `a number from ${least} to ${most}`,
    (value) => isNumber(value) && value >= least && value <= most,
  )
export const oneOf = <T extends string | number | boolean>(...choices: T[]) =>
  rule<T>(choices.map((choice) => JSON.stringify(choice)).join(' or '), (value) =>
    choices.includes(value as T),
  )
export const listOf = <T>(item: OptionRule<T>, most = Number.POSITIVE_INFINITY) =>
  rule<T[]>(
    `an array of ${item.expected}`,
    (value) => Array.isArray(value) && value.length <= most && value.every((v) => item.accepts(v)),
  )
export const object = <T extends object>(expected: string) =>
  rule<T>(expected, (value) => typeof value === 'object' && value !== null && !Array.isArray(value))
export const anyOf = <T>(...rules: OptionRule<T>[]) =>
  rule<T>(rules.map((r) => r.expected).join(', or '), (value) =>
    rules.some((r) => r.accepts(value)),
  )

/**
 * Returns the options that are set, checked one by one. `undefined` counts as not set.
 *
 * Errors: `ERR_OPTION_INVALID` (wrong type or range), `ERR_OPTION_UNKNOWN` (no such option).
 */
export function checkOptions<Options extends object>(
  what: string,
  options: unknown,
  rules: OptionRules<Options>,
): Partial<Options> {
  if (options === undefined) return {}
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected ${what} to be an object of options, received ${received(options)}`,
    )
  }
  const checked: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name)) {
      const nearest = nearestName(name, Object.keys(rules))
      throw new SottoError(
        'ERR_OPTION_UNKNOWN',
        `Unknown option ${what}.${name.slice(0, 60)}${nearest ? `: did you mean ${nearest}?` : ''}`,
      )
    }
    if (value === undefined) continue
    const { expected, accepts } = rules[name as keyof Options]
    if (!accepts(value)) {
      throw new SottoError(
        'ERR_OPTION_INVALID',
        `Expected ${what}.${name} to be ${expected}, received ${received(value)}`,
      )
    }
    checked[name] = value
  }
  return checked as Partial<Options>
}

/** The known name that is fewest edits away, if it is at most a third of the name. */
export function nearestName(name: string, known: string[]): string | undefined {
  if (name.length > 60) return undefined
  let best: string | undefined
  let fewest = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (edits < fewest) {
      fewest = edits
      best = candidate
    }
  }
  return best
}

// Levenshtein, one row at a time.
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        next[j - 1]! + 1,
        row[j]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      )
    }
    row = next
  }
  return row[b.length]!
}

/** Text that can cross into UTF-8: a lone surrogate would silently become U+FFFD. */
export function checkText(what: string, value: unknown): string {
  if (typeof value !== 'string') {
    throw new SottoError(
      'ERR_PROMPT_INVALID',
      `Expected ${what} to be a string, received ${received(value)}`,
    )
  }
  if (!value.isWellFormed()) {
    throw new SottoError(
      'ERR_PROMPT_INVALID',
      `Expected ${what} to be well-formed Unicode, received a string with a lone surrogate: call toWellFormed() on it if that is intended`,
    )
  }
  return value
}

/** JSON text of a value that the caller may have nested without end. */
export function toJson(
  what: string,
  value: unknown,
  code: 'ERR_SCHEMA_INVALID' | 'ERR_TEMPLATE_INVALID',
): string {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (cause) {
    const reason = cause instanceof RangeError ? 'nested too deeply' : (cause as Error).message
    throw new SottoError(code, `Expected ${what} to be representable as JSON: ${reason}`, { cause })
  }
  if (json === undefined) {
    throw new SottoError(
      code,
      `Expected ${what} to be representable as JSON, received ${received(value)}`,
    )
  }
  return json
}
