/** Where the answer is expected soonest. Cost breaks ties. */
import { expectedMs, least, type Policy } from './policy.ts'

export const leastWait: Policy = {
  name: 'least-wait',
  unit: 'ms',
  followsCache: true,
  awaits: true,
  score: (one, ask) => (ask.bestUnitMs === 0 ? Infinity : expectedMs(one, ask)),
  pick: (candidates, ask) => least(candidates, ask, expectedMs),
}
