/** What a coordinator's thread decides with, in tests. */
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import type { Decisions } from '../../src/engines/redis/coordinator/parts.ts'
import type { Settings } from '../conformance/harness.ts'
import { coordinatorOptions } from '../conformance/settings.ts'

export function openDecisions(options: unknown): Decisions {
  if (options === 'broken') throw new Error('these options are broken')
  let settings = options as Settings
  return {
    createCoordinator: () => createCoordinator(coordinatorOptions(settings)),
    keepMs: () => 3_600_000,
    settings: () => settings,
    change(to) {
      if (Object.hasOwn(to as object, 'fatal')) throw new Error('fatal')
      settings = to as Settings
    },
  }
}
