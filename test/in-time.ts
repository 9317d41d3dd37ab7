import { availableParallelism, loadavg } from 'node:os'

/** How many times longer than on a quiet machine: more processes want to run than there are cores. At least 1. */
export const busyness = (): number => Math.max(1, loadavg()[0] / availableParallelism())

/**
 * How long something took on the wall: on a busy machine it may take so many times longer. A test that is too late is
 * run again (vitest.config.ts): who is slow is slow each time.
 */
export function expectInTime(tookMs: number, boundMs: number): void {
  const allowedMs = boundMs * busyness()
  if (tookMs < allowedMs) return
  throw new Error(`took too long: ${tookMs.toFixed(0)} ms, at most ${allowedMs.toFixed(0)} ms are allowed`)
}
