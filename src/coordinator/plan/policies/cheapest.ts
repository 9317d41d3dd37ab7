/** Where it costs least, by the prices that are known; among those, where the answer is expected soonest. */
import { expectedMs, least, type Policy } from './policy.ts'

const cost: Policy['score'] = ({ settings }, { promptTokens, outputTokens }) => {
  const price = settings?.price ?? null
  return price === null ? Infinity : price.input * promptTokens + price.output * outputTokens
}

export const cheapest: Policy = {
  name: 'cheapest',
  unit: 'nano_dollars',
  followsCache: false,
  awaits: false,
  score: cost,
  pick(candidates, ask) {
    let lowest = Infinity
    for (const one of candidates) lowest = Math.min(lowest, cost(one, ask))
    const cheap = candidates.filter((one) => cost(one, ask) === lowest)
    return cheap.length === 1 ? cheap[0] : least(cheap, ask, expectedMs)
  },
}
