/** Anthropic's rate limits, by its own headers (docs.anthropic.com/en/api/rate-limits, "Response headers"). */
import type { Clock } from '../../../core/clock.ts'
import type { LimitState, UpstreamLimits } from '../../../core/upstream-limits.ts'

const PARTS = ['limit', 'remaining', 'reset']
export const ANTHROPIC_LIMIT_HEADERS: readonly string[] = ['requests', 'tokens'].flatMap((what) =>
  PARTS.map((part) => `anthropic-ratelimit-${what}-${part}`),
)

/** Undefined if there is none that can be read. */
export function anthropicLimits(headers: ReadonlyMap<string, string>, clock: Clock): UpstreamLimits | undefined {
  const requests = stateOf(headers, 'requests', clock)
  const tokens = stateOf(headers, 'tokens', clock)
  if (requests === undefined && tokens === undefined) return undefined
  return { ...(requests !== undefined && { requests }), ...(tokens !== undefined && { tokens }) }
}

function stateOf(headers: ReadonlyMap<string, string>, what: string, clock: Clock): LimitState | undefined {
  const [limit, remaining] = ['limit', 'remaining'].map((part) =>
    count(headers.get(`anthropic-ratelimit-${what}-${part}`)),
  )
  const reset = Date.parse(headers.get(`anthropic-ratelimit-${what}-reset`) ?? '')
  if (limit === undefined && remaining === undefined && Number.isNaN(reset)) return undefined
  // A time of day, read beside the provider's own clock, where it tells that
  const now = Date.parse(headers.get('date') ?? '')
  const resetMs = Math.max(0, reset - (Number.isNaN(now) ? clock.wallMs() : now))
  return {
    ...(limit !== undefined && { limit }),
    ...(remaining !== undefined && { remaining }),
    ...(!Number.isNaN(reset) && { resetMs }),
  }
}

const count = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
