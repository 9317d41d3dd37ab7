/** Which other models may answer a request, and what they cost: those that its caller may use. */
import type { Instead, JobDraft } from '../../core/job.ts'
import type { MediaUnits } from '../../core/media-units.ts'
import { refusalOf } from '../caller/access.ts'
import type { GatewayDeps, PublicRoute } from '../deps.ts'
import { modelRefusal } from './model.ts'
import { priceNow, refusedUnpriced } from './price.ts'

export type InsteadDeps = Pick<
  GatewayDeps,
  'admission' | 'clock' | 'keys' | 'limits' | 'ownKeys' | 'prices' | 'tenants'
>
type Asked = Pick<JobDraft, 'tenant' | 'keyId' | 'user' | 'run' | 'promptTokens'>

/**
 * Of a model's fallbacks those that this caller could ask for itself: by its key, its tenant and its guards, with the
 * keys that it must call with, and at a price that is known where a budget limits it. Undefined: none.
 */
export function insteadOf(
  deps: InsteadDeps,
  fallbacks: PublicRoute['fallbacks'],
  job: Asked,
  units?: MediaUnits,
): readonly Instead[] | undefined {
  if (fallbacks === undefined) return undefined
  const { general, contextWindow, contentPolicy } = fallbacks
  if (general.length + contextWindow.length + contentPolicy.length === 0) return undefined
  const { tenant, keyId, promptTokens } = job
  const found: Instead[] = []
  for (const model of new Set([...general, ...contextWindow, ...contentPolicy])) {
    const asked = { tenant, keyId, model }
    const isRefused =
      refusalOf(deps, asked) ?? modelRefusal(deps, { id: keyId, tenant }, model) ?? deps.ownKeys.refusal(tenant, model)
    if (isRefused !== null) continue
    const price = priceNow(deps, asked, promptTokens, deps.clock.wallMs(), units)
    const one = price === null ? { model } : { model, price }
    if (refusedUnpriced(deps.limits(), { ...job, ...one }) === null) found.push(one)
  }
  return found.length === 0 ? undefined : found
}
