/** When to reconnect: full jitter over a window that doubles, so that a thousand clients do not return at once. */
const FIRST_MS = 500
const LONGEST_MS = 20_000

/** `failures`: attempts since the last connection that held. */
export const backoffMs = (failures: number): number =>
  Math.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10))

export type Verdict = 'come-back' | 'authenticate' | 'stop'

/** What a close code tells a client to do: PROTOCOL.md section 6. */
export function verdictOf(code: number): Verdict {
  if (code === 4401) return 'authenticate'
  if (code === 1002 || code === 1003 || code === 1007 || code === 1008 || code === 1009 || code === 1010) return 'stop'
  if (code < 3_000) return 'come-back'
  const status = code - 4_000
  return status === 408 || status === 425 || status === 429 || status >= 500 ? 'come-back' : 'stop'
}
