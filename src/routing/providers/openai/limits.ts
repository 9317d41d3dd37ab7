/**
 * An upstream's rate limits, by the headers of OpenAI, which Azure, Groq and others send too. They are read at the end
 * of each call, so by hand: RegExps cost a tenth of a JSON call.
 */
import type { LimitState, UpstreamLimits } from '../../../core/upstream-limits.ts'

const namesFor = (what: string) => ({
  limit: `x-ratelimit-limit-${what}`,
  remaining: `x-ratelimit-remaining-${what}`,
  reset: `x-ratelimit-reset-${what}`,
})
const REQUESTS = namesFor('requests')
const TOKENS = namesFor('tokens')
export const LIMIT_HEADERS: readonly string[] = [REQUESTS, TOKENS].flatMap((names) => Object.values(names))

type Headers = ReadonlyMap<string, string>

/** Undefined if there is none that can be read. */
export function limitsOf(headers: Headers): UpstreamLimits | undefined {
  if (headers.size === 0) return undefined
  const requests = stateOf(headers, REQUESTS)
  const tokens = stateOf(headers, TOKENS)
  if (requests !== undefined) return tokens !== undefined ? { requests, tokens } : { requests }
  return tokens !== undefined ? { tokens } : undefined
}

function stateOf(headers: Headers, names: typeof REQUESTS): LimitState | undefined {
  const limit = countOf(headers.get(names.limit))
  const remaining = countOf(headers.get(names.remaining))
  const resetMs = durationOf(headers.get(names.reset))
  if (limit === undefined && remaining === undefined && resetMs === undefined) return undefined
  const state: { -readonly [K in keyof LimitState]: LimitState[K] } = {}
  if (limit !== undefined) state.limit = limit
  if (remaining !== undefined) state.remaining = remaining
  if (resetMs !== undefined) state.resetMs = resetMs
  return state
}

const MAX_DIGITS = 15
const isDigit = (c: number): boolean => c >= 48 && c <= 57

function countOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text.length > MAX_DIGITS) return undefined
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return undefined
  return Number(text)
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const MAX_CHARS = 32

/** "6ms", "1s", "1h2m3.5s"; a number alone is seconds. */
function durationOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text.length > MAX_CHARS) return undefined
  let ms = 0
  for (let i = 0; i < text.length; ) {
    const from = i
    while (i < text.length && isDigit(text.charCodeAt(i))) i++
    const whole = i
    if (text[i] === '.') while (++i < text.length && isDigit(text.charCodeAt(i)));
    // Digits before the point, and after it
    if (whole === from || (i > whole && i === whole + 1)) return undefined
    const number = Number(text.slice(from, i))
    if (i === text.length) return from === 0 ? Math.ceil(number * 1_000) : undefined
    const unit = text[i] === 'm' && text[i + 1] === 's' ? 'ms' : text[i]
    if (UNIT_MS[unit] === undefined) return undefined
    ms += number * UNIT_MS[unit]
    i += unit.length
  }
  return Math.ceil(ms)
}
