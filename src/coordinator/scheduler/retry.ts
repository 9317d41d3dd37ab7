/** When a failed attempt is repeated. */
import type { SchedulerOptions } from './port.ts'

/** The longest wait that a provider can ask for. */
const MOST_ASKED_MS = 300_000

/**
 * Exponential backoff with full jitter (AWS Architecture Blog, 2015): uniform in [0, base × 2^(fails-1)), capped;
 * not before the provider asked to be called again. `fails`: attempts that failed so far, at least 1.
 */
export function retryDelayMs(
  options: Pick<SchedulerOptions, 'retryBaseMs' | 'retryCapMs' | 'jitter'>,
  fails: number,
  askedMs = 0,
): number {
  const ceiling = Math.min(options.retryCapMs, options.retryBaseMs * 2 ** Math.min(fails - 1, 30))
  return Math.max(options.jitter() * ceiling, Math.min(askedMs, MOST_ASKED_MS))
}
