import { availableParallelism, loadavg } from 'node:os'

/**
 * How long something took on the wall. Where more processes want to run than there are cores, each may take so much
 * longer. A test that is too late is run again (vitest.config.ts): who is slow is slow each time.
 */
export function expectInTime(tookMs: number, boundMs: number): void {
  const allowedMs = boundMs * Math.max(1, loadavg()[0] / availableParallelism())
  if (tookMs < allowedMs) return
  throw new Error(`took too long: ${tookMs.toFixed(0)} ms, at most ${allowedMs.toFixed(0)} ms are allowed`)
}
