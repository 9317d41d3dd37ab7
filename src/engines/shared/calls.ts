/** The calls of an attempt that may never be ended by its worker, as they are stored: see Died. */
import type { Died } from '../../core/ports/coordinator.ts'
import type { Claim } from '../../core/ports/work.ts'

export type Calls = Pick<Died, 'deployment' | 'isHedge' | 'beside'>

export const NO_CALLS: Calls = { deployment: null }

export const callsOf = ({ deployment, isHedge, hedge }: Pick<Claim, 'deployment' | 'isHedge' | 'hedge'>): Calls => ({
  deployment,
  ...(isHedge && { isHedge }),
  ...(hedge !== undefined && { beside: hedge.deployment }),
})
