/** When what failed is tried again, and when nobody tries any more. Times in ms. */

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** After the first try, the second, … Some 34 hours in all. */
const DELAYS_MS = [5_000, 30_000, 2 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS]
/** What a receiver may ask for. */
const MAX_RETRY_AFTER_MS = 24 * HOUR_MS
/** Of a delay, up to so much more: a receiver that comes back is not met by all at once. */
const JITTER = 0.2

/** Looks at a job that may have ended unheard. */
const FIRST_LOOK_MS = 10_000
const LAST_LOOK_MS = 5 * MINUTE_MS

/** `tries`: so far. `jitter`: 0-1. Null: that was the last one. */
export function nextTryMs(tries: number, retryAfterMs: number | null, jitter: number): number | null {
  const delay = DELAYS_MS[tries - 1]
  if (delay === undefined) return null
  const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
  return Math.max(asked, Math.round(delay * (1 + JITTER * jitter)))
}

/** Each doubles: ten thousand waiting jobs are some thirty looks a second at most. */
export const nextLookMs = (looks: number, jitter: number): number =>
  Math.round(Math.min(FIRST_LOOK_MS * 2 ** Math.min(looks, 20), LAST_LOOK_MS) * (1 + JITTER * jitter))

/** Seconds, or a date (RFC 9110). Null: neither. */
export function readRetryAfter(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null
  if (/^\d{1,10}$/.test(header)) return Number(header) * 1_000
  const at = Date.parse(header)
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs)
}
