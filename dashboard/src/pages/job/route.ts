/** Where a job went, and where one like it would go now: in words. */
import { counted, duration, money } from '../../format.ts'

/** As `GET /admin/jobs/:id/route` tells it. */
export interface Route {
  readonly deployment: string | null
  readonly refused: { readonly message: string } | null
  readonly own_key: boolean | null
  readonly steps: ReadonlyArray<{
    readonly model: string
    readonly policy: string
    readonly unit: 'ms' | 'nano_dollars' | 'weight' | 'turn'
    readonly cached_at: string | null
    readonly chosen: string | null
    /** A full one that is worth waiting for. */
    readonly awaits?: { readonly deployment: string } | null
    readonly deployments: ReadonlyArray<{
      readonly deployment: string
      readonly active: number
      /** Why it is left out; null: it is not. */
      readonly why: string | null
      readonly score: number | null
    }>
  }>
}

export interface RouteRow {
  readonly deployment: string
  readonly is: 'chosen' | 'open' | 'out'
  readonly words: string
}

const PICKS: Readonly<Record<string, string>> = {
  'least-wait': 'where the answer is expected soonest',
  weighted: 'by their weights',
  cheapest: 'the lowest price',
  fastest: 'where first tokens come soonest',
  'round-robin': 'the one that was asked longest ago',
}

const waitsFor = (full: { readonly deployment: string } | null | undefined): string =>
  full == null ? 'no deployment is open to it' : `${full.deployment} is full, and the soonest all the same`

/** `went`: to which deployments it went so far, in turn. */
export function leadOf(route: Route, went: readonly string[], isOver: boolean): string {
  const { refused, deployment, own_key: ownKey, steps } = route
  const past = went.length === 0 ? '' : `It went to ${went.join(', then ')}. `
  const who = isOver || went.length > 0 ? 'One like it' : 'Were it its turn, it'
  const last = steps.at(-1)
  const open = last?.deployments.filter(({ why }) => why === null) ?? []
  const why =
    deployment !== null && deployment === last?.cached_at
      ? 'it has read this beginning last'
      : open.length > 1
        ? `${last?.policy} picks ${PICKS[last!.policy]}`
        : 'no other is open to it'
  const now =
    refused !== null
      ? `${who} would be refused now: ${refused.message}`
      : deployment === null
        ? `${who} would wait now: ${waitsFor(last?.awaits)}.`
        : `${who} would go to ${deployment} now: ${why}.`
  return `${past}${now}${ownKey === true ? ' With the tenant’s own key.' : ''}`
}

export function rowsOf({ deployments, chosen, unit }: Route['steps'][number]): readonly RouteRow[] {
  const scoreOf = (score: number | null): string =>
    score === null
      ? ''
      : unit === 'ms'
        ? `${duration(score)} expected, `
        : unit === 'nano_dollars'
          ? `${money(score)} expected, `
          : ''
  return deployments.map(({ deployment, active, why, score }) => {
    if (why !== null) return { deployment, is: 'out', words: why }
    const is = deployment === chosen ? 'chosen' : 'open'
    const calls = `${counted(active, 'call')} there`
    return { deployment, is, words: `${is === 'chosen' ? 'chosen' : 'could take it'}: ${scoreOf(score)}${calls}` }
  })
}
