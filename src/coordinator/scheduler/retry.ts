/** When a failed attempt is repeated. */
import type { SchedulerOptions } from './port.ts'

/** The longest wait that a provider can ask for. */
const MOST_ASKED_MS = 300_000

/** Deployments at which a job is tried at most, whatever their number: its own request may be what fails there. */
const MOST_TRIED = 16

/** Failures that end a job. `isUntried`: there is a deployment where it has not failed. */
export const mostFails = ({ maxAttempts }: Pick<SchedulerOptions, 'maxAttempts'>, isUntried = false): number =>
  isUntried ? Math.max(maxAttempts, MOST_TRIED) : maxAttempts

/**
 * Exponential backoff with full jitter (AWS Architecture Blog, 2015): uniform in [0, base × 2^(fails-1)), capped;
 * not before the provider asked to be called again. At once where it has not failed yet. `fails`: attempts that failed
 * so far, at least 1.
 */
export function retryDelayMs(
  options: Pick<SchedulerOptions, 'retryBaseMs' | 'retryCapMs' | 'jitter'>,
  fails: number,
  askedMs = 0,
  isUntried = false,
): number {
  if (isUntried) return Math.min(askedMs, MOST_ASKED_MS)
  const ceiling = Math.min(options.retryCapMs, options.retryBaseMs * 2 ** Math.min(fails - 1, 30))
  return Math.max(options.jitter() * ceiling, Math.min(askedMs, MOST_ASKED_MS))
}
