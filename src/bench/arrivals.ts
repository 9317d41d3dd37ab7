/** When requests are to be sent: ms from the start of a round, ascending, known before the round begins. */
import { random } from './random.ts'
import type { Arrivals } from './run.ts'

/**
 * `count` times at `rate` requests a second. The last one is exactly at `count / rate` seconds, whatever the seed: the
 * gaps are stretched for it, so that rounds last equally long and the rate is the one that was asked for.
 */
export function schedule(
  arrivals: Exclude<Arrivals, { kind: 'trace' }>,
  rate: number,
  count: number,
  seed: number,
): number[] {
  const totalMs = (count / rate) * 1_000
  const { exponential, gamma } = random(seed)
  const gap =
    arrivals.kind === 'constant' ? () => 1 : arrivals.kind === 'gamma' ? () => gamma(arrivals.shape) : exponential
  let at = 0
  const times = Array.from({ length: count }, () => (at += gap()))
  const stretch = totalMs / at
  return times.map((time) => time * stretch)
}
