/** Which boot of the machine this is. */
import { readFileSync } from 'node:fs'
import { environmentOf } from '../config/load.ts'
import type { Clock } from '../core/clock.ts'

/** Linux knows. Elsewhere each start counts as a boot: readers of unfinished logs then start over, which is safe. */
export function bootId(clock: Clock): string {
  const played = environmentOf('SLUICE_TEST_BOOT_ID')
  if (played !== null) return played
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return `start-${clock.wallMs()}`
  }
}
