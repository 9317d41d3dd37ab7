import type { Durability } from '../../src/engines/shared/durability.ts'
import { DEEP } from '../depth.ts'
import { afterCases } from './after.ts'
import { arrivalCases } from './arrivals.ts'
import { briefCases } from './brief.ts'
import { controlCases } from './control.ts'
import { conversationCases } from './conversations.ts'
import { documentCases } from './documents.ts'
import { durabilityCases } from './durability.ts'
import { embedded } from './embedded.ts'
import { factCases } from './facts.ts'
import { fileCases } from './files.ts'
import { fleetCases } from './fleet.ts'
import { conform } from './harness.ts'
import { hedgeCases } from './hedges.ts'
import { keyCases } from './keys.ts'
import { leaseCases } from './leases.ts'
import { ledgerCases } from './ledger.ts'
import { limitCases } from './limits.ts'
import { logCases } from './log.ts'
import { ownKeyCases } from './own-keys.ts'
import { peerCases } from './peers.ts'
import { queueCases } from './queue.ts'
import { routeCases } from './routes.ts'
import { signInCases } from './sign-ins.ts'
import { tenantCases } from './tenants.ts'
import { timeCases } from './time.ts'

/** All suites of an engine. A file for each durability: they run beside each other. */
export function conformEmbedded(durability: Durability): void {
  const open = embedded(durability)
  const cheap = DEEP ? open : embedded(durability, { withoutThread: true })
  const alone = "a data folder is one process's"
  const gaps: Record<string, string> = {
    fleet: alone,
    cut: alone,
    ...(durability === 'memory'
      ? { kill: 'nothing survives: that is what memory means', power: 'nothing survives: that is what memory means' }
      : durability === 'process'
        ? { power: 'not promised' }
        : {}),
  }
  conform(`${durability}: durability`, durabilityCases, open, gaps)
  conform(`${durability}: brief`, briefCases, cheap, gaps)
  conform(`${durability}: log`, logCases, cheap, gaps)
  // What is the same whenever it is synced
  if (!DEEP && durability !== 'power') return
  conform(`${durability}: queue`, queueCases, cheap, gaps)
  conform(`${durability}: after`, afterCases, cheap, gaps)
  conform(`${durability}: arrivals`, arrivalCases, cheap, gaps)
  conform(`${durability}: control`, controlCases, cheap, gaps)
  conform(`${durability}: leases`, leaseCases, cheap, gaps)
  conform(`${durability}: conversations`, conversationCases, cheap, gaps)
  conform(`${durability}: keys`, keyCases, cheap, gaps)
  conform(`${durability}: tenants`, tenantCases, cheap, gaps)
  conform(`${durability}: documents`, documentCases, cheap, gaps)
  conform(`${durability}: files`, fileCases, cheap, gaps)
  conform(`${durability}: own keys`, ownKeyCases, cheap, gaps)
  conform(`${durability}: sign-ins`, signInCases, cheap, gaps)
  conform(`${durability}: peers`, peerCases, cheap, gaps)
  conform(`${durability}: facts`, factCases, cheap, gaps)
  conform(`${durability}: time`, timeCases, cheap, gaps)
  conform(`${durability}: ledger`, ledgerCases, cheap, gaps)
  conform(`${durability}: limits`, limitCases, cheap, gaps)
  conform(`${durability}: routes`, routeCases, cheap, gaps)
  conform(`${durability}: hedges`, hedgeCases, cheap, gaps)
  conform(`${durability}: fleet`, fleetCases, cheap, gaps)
}
