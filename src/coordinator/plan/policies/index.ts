import type { PolicyName } from '../../../core/policies.ts'
import { cheapest } from './cheapest.ts'
import { fastest } from './fastest.ts'
import { leastWait } from './least-wait.ts'
import type { Policy } from './policy.ts'
import { roundRobin } from './round-robin.ts'
import { weighted } from './weighted.ts'

const ALL: Readonly<Record<PolicyName, Policy>> = {
  'least-wait': leastWait,
  weighted,
  cheapest,
  fastest,
  'round-robin': roundRobin,
}

/** One that a later version brought is not known here. */
export const policyOf = (name: PolicyName | undefined): Policy => (name !== undefined && ALL[name]) || leastWait
