/** The calls of an attempt that may never be ended by its worker, as they are stored: see Died. */
import type { Died } from '../../core/ports/coordinator.ts'
import type { Claim } from '../../core/ports/work.ts'

export type Calls = Pick<Died, 'deployment' | 'model' | 'isHedge' | 'beside'>

export const NO_CALLS: Calls = { deployment: null }

type Claimed = Pick<Claim, 'deployment' | 'model' | 'isHedge' | 'hedge'>

export const callsOf = ({ deployment, model, isHedge, hedge }: Claimed): Calls => ({
  deployment,
  ...(model !== undefined && { model }),
  ...(isHedge && { isHedge }),
  ...(hedge !== undefined && { beside: hedge.deployment }),
})
