/** Where the first text comes soonest; one of which nothing is known is tried first. */
import { least, type Policy } from './policy.ts'

const ttft: Policy['score'] = ({ speed, work }, { work: own }) =>
  speed.ttftMs === null ? work : (speed.ttftMs * (work + own)) / (speed.load + own)

export const fastest: Policy = {
  name: 'fastest',
  unit: 'ms',
  followsCache: true,
  score: ttft,
  pick: (candidates, ask) => least(candidates, ask, ttft),
}
