/** What a coordinator's thread decides with, in tests. */
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import type { Decisions } from '../../src/engines/redis/coordinator/host-thread.ts'
import type { Settings } from '../conformance/harness.ts'
import { coordinatorOptions } from '../conformance/settings.ts'

export function openDecisions(options: unknown): Decisions {
  if (options === 'broken') throw new Error('these options are broken')
  return {
    createCoordinator: () => createCoordinator(coordinatorOptions(options as Settings)),
    keepMs: () => 3_600_000,
    change(to) {
      if (to === 'fatal') throw new Error('fatal')
    },
  }
}
