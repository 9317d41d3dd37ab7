/** Durations as clients read them. */

/** Rounded up; what arithmetic may add must not make a millisecond. */
export const wholeMs = (ms: number): number => Math.max(0, Math.ceil(ms - DUST_MS))
const DUST_MS = 1e-6

/** As OpenAI writes it: "120ms", "1.2s", "6m0s", "26h0m3s". */
export function durationText(ms: number): string {
  const whole = wholeMs(ms)
  if (whole < 1_000) return `${whole}ms`
  const hours = Math.floor(whole / 3_600_000)
  const minutes = Math.floor(whole / 60_000) % 60
  const seconds = `${(whole % 60_000) / 1_000}s`
  if (hours > 0) return `${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${minutes}m${seconds}` : seconds
}
