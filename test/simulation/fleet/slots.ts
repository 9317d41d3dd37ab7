/** No more runs at once than may, and the machine counted what is stored: it decides one turn after the other. */
import type { Coordinator } from '../../../src/core/ports/coordinator.ts'
import type { RunRow } from '../../../src/engines/redis/protocol/rows.ts'
import { must } from '../ledger.ts'

/** How far what is promised holds in this simulation. */
export interface Terms {
  /** Calls at once, by deployment; jobs at once, by worker. */
  readonly slots: ReadonlyMap<string, number>
  readonly workerSlots: number
  /** No worker is ever hindered: none may be blamed. */
  readonly isCalm: boolean
}

/** What the machine counted when the commit was decided: by the time it is stored, more may have been decided. */
export type Counted = ReturnType<Coordinator['status']>

export function judgeSlots(running: readonly RunRow[], terms: Terms, counted: Counted): void {
  const byDeployment = new Map<string, number>()
  const byWorker = new Map<string, number>()
  for (const { claim, worker } of running) {
    const { deployment } = claim!
    byDeployment.set(deployment, (byDeployment.get(deployment) ?? 0) + 1)
    byWorker.set(worker!, (byWorker.get(worker!) ?? 0) + 1)
  }
  for (const [deployment, active] of byDeployment)
    must(active <= terms.slots.get(deployment)!, `${active} run at ${deployment}`)
  for (const [worker, active] of byWorker) must(active <= terms.workerSlots, `${active} run at ${worker}`)
  for (const { deployment, active } of counted) {
    const stored = byDeployment.get(deployment) ?? 0
    must(active === stored, `${deployment}: ${active} calls are counted of ${stored}`)
  }
}
