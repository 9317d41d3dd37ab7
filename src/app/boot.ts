/** Which boot of the machine this is, and how long ago it began: independent of the wall clock. */
import { readFileSync } from 'node:fs'
import { environmentOf } from '../config/load.ts'
import type { Ids } from '../core/ids.ts'
import type { Boot } from '../core/ports/engine.ts'

/**
 * Linux reports which boot this is, and how long ago it was. Elsewhere each start of the process counts as a boot:
 * readers of unfinished logs then start over, and the time between two starts is not counted, which is safe.
 */
export function thisBoot(ids: Ids): Boot {
  const id = environmentOf('SLUICE_TEST_BOOT_ID') ?? read('/proc/sys/kernel/random/boot_id')
  return {
    id: id ?? `start-${Buffer.from(ids.random(16)).toString('hex')}`,
    ms() {
      const seconds = Number.parseFloat(read('/proc/uptime') ?? '')
      return Number.isFinite(seconds) ? seconds * 1000 : null
    },
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return null
  }
}
