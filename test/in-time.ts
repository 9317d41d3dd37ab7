/**
 * How long something took on the wall. A test that is too late is run again (vitest.config.ts): who is slow is slow
 * each time, and a machine that is busy with other things is not.
 */
export function expectInTime(tookMs: number, boundMs: number): void {
  if (tookMs >= boundMs) throw new Error(`took too long: ${tookMs.toFixed(0)} ms, at most ${boundMs} ms are allowed`)
}
