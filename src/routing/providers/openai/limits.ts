/** What an upstream says of its limits: OpenAI's headers, which Azure, Groq and others send too. */
import type { LimitState, UpstreamLimits } from '../../../core/ports/provider.ts'

const OF = ['requests', 'tokens'] as const
export const LIMIT_HEADERS: readonly string[] = OF.flatMap((what) =>
  ['limit', 'remaining', 'reset'].map((part) => `x-ratelimit-${part}-${what}`),
)

/** Undefined when it says nothing that can be read. */
export function limitsOf(headers: ReadonlyMap<string, string>): UpstreamLimits | undefined {
  if (headers.size === 0) return undefined
  const requests = stateOf(headers, 'requests')
  const tokens = stateOf(headers, 'tokens')
  if (requests === undefined && tokens === undefined) return undefined
  return { ...(requests !== undefined && { requests }), ...(tokens !== undefined && { tokens }) }
}

function stateOf(headers: ReadonlyMap<string, string>, what: (typeof OF)[number]): LimitState | undefined {
  const limit = countOf(headers.get(`x-ratelimit-limit-${what}`))
  const remaining = countOf(headers.get(`x-ratelimit-remaining-${what}`))
  const resetMs = durationOf(headers.get(`x-ratelimit-reset-${what}`))
  if (limit === undefined && remaining === undefined && resetMs === undefined) return undefined
  return {
    ...(limit !== undefined && { limit }),
    ...(remaining !== undefined && { remaining }),
    ...(resetMs !== undefined && { resetMs }),
  }
}

const countOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** "6ms", "1s", "1h2m3.5s"; a number alone is seconds. */
const DURATION = /^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[smhd])){1,5}$/

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined || text.length > 64) return undefined
  if (/^\d{1,9}(?:\.\d{1,9})?$/.test(text)) return Math.ceil(Number(text) * 1_000)
  if (!DURATION.test(text)) return undefined
  let ms = 0
  for (const [, number, unit] of text.matchAll(/([\d.]+)(ms|[smhd])/g)) ms += Number(number) * UNIT_MS[unit]
  return Math.ceil(ms)
}
