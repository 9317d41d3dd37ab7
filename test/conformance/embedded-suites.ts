import type { Durability } from '../../src/engines/shared/durability.ts'
import { DEEP } from '../depth.ts'
import { controlCases } from './control.ts'
import { conversationCases } from './conversations.ts'
import { durabilityCases } from './durability.ts'
import { embedded } from './embedded.ts'
import { factCases } from './facts.ts'
import { conform } from './harness.ts'
import { keyCases } from './keys.ts'
import { leaseCases } from './leases.ts'
import { logCases } from './log.ts'
import { queueCases } from './queue.ts'
import { timeCases } from './time.ts'

/** All suites of an engine. A file for each durability: they run beside each other. */
export function conformEmbedded(durability: Durability): void {
  const open = embedded(durability)
  const gaps: Record<string, string> =
    durability === 'memory'
      ? { kill: 'nothing survives: that is what memory means', power: 'nothing survives: that is what memory means' }
      : durability === 'process'
        ? { power: 'not promised' }
        : {}
  conform(`${durability}: durability`, durabilityCases, open, gaps)
  // What survives differs; for the rest `power` waits for a sync where `process` does not
  if (durability === 'process' && !DEEP) return
  conform(`${durability}: queue`, queueCases, open, gaps)
  conform(`${durability}: control`, controlCases, open, gaps)
  conform(`${durability}: leases`, leaseCases, open, gaps)
  conform(`${durability}: log`, logCases, open, gaps)
  conform(`${durability}: conversations`, conversationCases, open, gaps)
  conform(`${durability}: keys`, keyCases, open, gaps)
  conform(`${durability}: facts`, factCases, open, gaps)
  conform(`${durability}: time`, timeCases, open, gaps)
}
