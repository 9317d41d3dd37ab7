/**
 * Wall clocks that are wrong, for a process of its own (libfaketime). The monotonic clock stays right, as it does on a
 * machine.
 */
import { globSync } from 'node:fs'

const LIBRARY = globSync([
  '/usr/lib/*/faketime/libfaketimeMT.so.1',
  '/usr/lib/faketime/libfaketimeMT.so.1',
  '/usr/local/lib/faketime/libfaketimeMT.so.1',
])[0]

export const canFake = LIBRARY !== undefined

/**
 * An hour behind, ten years ahead, right, a second lived twice, before the epoch of most things, and one that stands
 * still.
 */
const CLOCKS = ['-1h', '+10y', '+0', '-1', '-40y', '2020-01-01 00:00:00']

/** The environment of a process whose clock is the `n`-th of them; the honest one where nothing can be faked. */
export const clockOf = (n: number): Record<string, string> => clockAt(CLOCKS[n % CLOCKS.length])

/** `clock`: as libfaketime takes it. */
export function clockAt(clock: string): Record<string, string> {
  if (LIBRARY === undefined) return {}
  return {
    LD_PRELOAD: LIBRARY,
    FAKETIME: clock,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    FAKETIME_NO_CACHE: '1',
  }
}
