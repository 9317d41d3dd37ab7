/** Each in its turn: the one that was asked longest ago. */
import { least, type Policy } from './policy.ts'

const turn: Policy['score'] = (one) => one.turn

export const roundRobin: Policy = {
  name: 'round-robin',
  unit: 'turn',
  followsCache: false,
  awaits: false,
  score: turn,
  pick: (candidates, ask) => least(candidates, ask, turn),
}
