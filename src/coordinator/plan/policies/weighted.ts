/** Each gets its share, by weight. */
import { least, type Policy } from './policy.ts'

const weightOf = ({ settings }: { readonly settings: { readonly weight?: number } | null }): number =>
  settings?.weight ?? 1

export const weighted: Policy = {
  name: 'weighted',
  unit: 'weight',
  followsCache: false,
  awaits: false,
  score: weightOf,
  pick(candidates, ask) {
    let total = 0
    for (const one of candidates) total += weightOf(one)
    if (total === 0) return least(candidates, ask, () => 0)
    let left = (ask.draw / 2 ** 32) * total
    for (const one of candidates) {
      left -= weightOf(one)
      if (left < 0) return one
    }
    return candidates[candidates.length - 1]
  },
}
