/** Is a target warm? Its TTFT goes down no more. */
import { quantile } from './quantile.ts'

/** Requests that are looked at, after which it is tried again, and given up. */
const WINDOW = 12
export const MIN_WARM = WINDOW
export const MAX_WARM = 120
/** Over the window, of its median: a slope within this is flat. */
const FLAT = 0.1

/**
 * By the median of all slopes between two of the last requests (Theil and Sen): a single slow one tells nothing. A TTFT
 * that rises is warm, too: what rises is a queue.
 */
export function isWarm(ttfts: readonly number[]): boolean {
  if (ttfts.length < WINDOW) return false
  const last = ttfts.slice(-WINDOW)
  const slopes: number[] = []
  for (let i = 0; i < WINDOW; i++) for (let j = i + 1; j < WINDOW; j++) slopes.push((last[j] - last[i]) / (j - i))
  const slope = quantile(
    slopes.sort((a, b) => a - b),
    0.5,
  )!
  const median = quantile(Float64Array.from(last).sort(), 0.5)!
  return slope * WINDOW >= -FLAT * median
}
