/** Checks of single members, shared by the dialects' requests. Null counts as absent: typed SDKs send it. */
import { SluiceError } from './errors.ts'
import { isRecord, type JsonRecord } from './json.ts'
import { didYouMean } from './nearest.ts'

export interface Check {
  readonly ok: (value: unknown) => boolean
  /** Ends the sentence '"x" must be …'. */
  readonly what: string
}

export const bad = (param: string, message: string): SluiceError =>
  new SluiceError('invalid_request', { param, message })

export const isText = (value: unknown): value is string => typeof value === 'string'

export const boolean: Check = { ok: (v) => typeof v === 'boolean', what: 'true or false' }
export const number = (min: number, max: number): Check => ({
  ok: (v) => typeof v === 'number' && v >= min && v <= max,
  what: `a number from ${min} to ${max}`,
})
export const whole = (min: number, max: number): Check => ({
  ok: (v) => Number.isSafeInteger(v) && (v as number) >= min && (v as number) <= max,
  what: `a whole number from ${min} to ${max}`,
})
export const text = (max: number): Check => ({
  ok: (v) => typeof v === 'string' && v.length <= max,
  what: `a string of at most ${max} characters`,
})

/** At most `max` pairs of short texts. */
export const labels = (max: number): Check => ({
  ok: (v) => {
    if (!isRecord(v)) return false
    const pairs = Object.entries(v)
    return pairs.length <= max && pairs.every(([k, x]) => k.length <= 64 && typeof x === 'string' && x.length <= 512)
  },
  what: `at most ${max} pairs of texts (names to 64, values to 512 characters)`,
})

/** Of the members that there are, in an error. */
const MAX_NAMED = 12

/** Throws invalid_request for a member of another name. */
export function checkNames(value: JsonRecord, names: Iterable<string>): void {
  const known = [...names]
  for (const name in value)
    if (!known.includes(name)) throw bad(name, `"${name}" is not a known member.${meant(name, known)}`)
}

const meant = (name: string, known: readonly string[]): string =>
  didYouMean(name, known) ||
  ` There are ${known.slice(0, MAX_NAMED).join(', ')}${known.length > MAX_NAMED ? ' …' : '.'}`

/** Checks each member that has a check, in the request's own order, and ignores all others. */
export function checkMembers(request: JsonRecord, checks: ReadonlyMap<string, Check>): void {
  for (const name in request) {
    const check = checks.get(name)
    if (check === undefined) continue
    const value = request[name]
    if (value !== null && !check.ok(value)) throw bad(name, `"${name}" must be ${check.what}.`)
  }
}
