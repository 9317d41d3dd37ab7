/** Words for what waits and runs. */
import type { TurnState } from '@sluice/client'

export function inLine(place: number | null): string {
  if (place === null) return 'Waiting'
  if (place === 1) return 'Next in line'
  const suffix = place % 100 > 10 && place % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][place % 10] ?? 'th')
  return `${place}${suffix} in line`
}

export interface Going {
  readonly state: TurnState
  readonly place: number | null
  readonly error: { readonly message: string } | null
}

/** '': its text says it all. */
export function noteOf({ state, place, error }: Going): string {
  if (state === 'sending') return 'Sending…'
  if (state === 'waiting') return inLine(place)
  if (state === 'stopped') return 'Stopped'
  return state === 'failed' ? (error?.message ?? 'No answer.') : ''
}
