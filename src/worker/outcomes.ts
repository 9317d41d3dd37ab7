/** What outcomes of attempts mean, beside what the coordinator makes of them. */
import type { SluiceError } from '../core/errors.ts'
import type { Outcome } from '../core/ports/work.ts'
import type { Cost } from '../core/usage-record.ts'

/** Failures by which the upstream did no work, unless something came before. */
export const FREE: ReadonlySet<SluiceError['code']> = new Set([
  'provider_unreachable',
  'provider_rejected',
  'provider_auth',
  'own_key_failed',
  'own_key_required',
  'own_key_rate_limited',
  'provider_rate_limited',
  'provider_error',
  'overloaded',
])

/** The tenant pays its provider itself: that costs the operator nothing, and no budget of theirs. */
export const withOwnKey = (): Cost => ({ nanoDollars: 0, priceVersion: 'own-key' })

/** For the fact of its end. */
export function stoppedBy(outcome: Outcome): { readonly stopped?: 'cut' | 'canceled' | 'released' } {
  const { kind } = outcome
  if (kind === 'canceled' || kind === 'released') return { stopped: kind }
  return kind === 'done' && outcome.cut !== undefined ? { stopped: 'cut' } : {}
}
