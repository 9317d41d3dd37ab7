/** Where the first text comes soonest; one of which nothing is known is tried first. */
import { least, type Policy } from './policy.ts'

const ttft: Policy['score'] = (one, { work: own }) => {
  const load = one.load(own)
  const { ttftMs, load: learned } = one.speed
  return ttftMs === null ? load : (ttftMs * (load + own)) / (learned + own)
}

export const fastest: Policy = {
  name: 'fastest',
  unit: 'ms',
  followsCache: true,
  awaits: false,
  score: (one, ask) => (one.speed.ttftMs === null ? Infinity : ttft(one, ask)),
  pick: (candidates, ask) => least(candidates, ask, ttft),
}
