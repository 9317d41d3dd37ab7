/** What the list of runs says of one. */
import type { RunView } from '../run/tree.ts'

type Totals = RunView['totals']
interface Named {
  readonly tenant: string
  readonly id: string
}

export const isIn = (rows: readonly Named[], { tenant, id }: Named): boolean =>
  rows.some((row) => row.tenant === tenant && row.id === id)

export const endedOf = ({ states }: Pick<Totals, 'states'>): number =>
  (['done', 'failed', 'canceled', 'expired'] as const).reduce((sum, state) => sum + (states[state] ?? 0), 0)

/** Of its budget, what is used up the furthest; null: it has none of its own. `share`: 1 = all of it. */
export function shareOf({
  budget,
  totals,
}: {
  readonly budget: RunView['budget']
  readonly totals: Pick<Totals, 'total_tokens' | 'usd' | 'steps' | 'depth'>
}): { readonly name: string; readonly share: number } | null {
  const all = [
    ['tokens', totals.total_tokens, budget.tokens],
    ['dollars', totals.usd, budget.usd],
    ['steps', totals.steps, budget.steps],
    ['depth', totals.depth, budget.depth],
  ] as const
  return all.reduce<{ name: string; share: number } | null>((fullest, [name, used, most]) => {
    const share = most === null ? -1 : used / most
    return share > (fullest?.share ?? -1) ? { name, share } : fullest
  }, null)
}
