/** What a request may cost, where a budget limits it. */
import { SluiceError } from '../../core/errors.ts'
import type { JobDraft } from '../../core/job.ts'
import { type LevelLimits, type LimitSettings, levelsOf, type TokenPrice } from '../../core/limits.ts'
import type { MediaUnits } from '../../core/media-units.ts'
import type { Price, Prices } from '../../core/ports/prices.ts'
import type { GatewayDeps } from '../deps.ts'

/** Of an answer: long enough for a price a token to come out exact. */
const MANY_TOKENS = 1_000_000

/**
 * As a token of this prompt costs, whose size may choose the rate; what is paid for each request, and for `units` of
 * media, is part of it.
 */
export function tokenPrice(price: Price, promptTokens: number, units: MediaUnits = {}): TokenPrice {
  const input = price.cost({ input: promptTokens, output: 0, ...units })
  return {
    input: input / Math.max(1, promptTokens),
    output: (price.cost({ input: promptTokens, output: MANY_TOKENS, ...units }) - input) / MANY_TOKENS,
  }
}

/** It is paid with the tenant's own key. */
const NOTHING: TokenPrice = { input: 0, output: 0 }

/**
 * By which a request is held, whichever deployment will answer it: that of the dearest. Null: nobody knows it, or one
 * of theirs.
 */
export function priceNow(
  { prices, ownKeys }: Pick<GatewayDeps, 'prices' | 'ownKeys'>,
  { tenant, model }: Pick<JobDraft, 'tenant' | 'model'>,
  promptTokens: number,
  atMs: number,
  units?: MediaUnits,
): TokenPrice | null {
  if (ownKeys.covers(tenant, model)) return NOTHING
  const price = prices.dearest(model, atMs)
  return price !== null && 'cost' in price ? tokenPrice(price, promptTokens, units) : null
}

type Asked = Pick<JobDraft, 'tenant' | 'keyId' | 'user' | 'run' | 'budget' | 'model' | 'price'>

/** A request that nobody knows the price of has no place in a budget. Null: there is none, or it has a price. */
export function refusedUnpriced(settings: LimitSettings, job: Asked): SluiceError | null {
  if (job.price !== undefined) return null
  const isPaid = (limits: LevelLimits): boolean =>
    limits.budgets.length > 0 || limits.totals?.some(({ unit }) => unit === 'nano_dollars') === true
  if (!levelsOf(settings, job).some(({ limits }) => isPaid(limits))) return null
  const model = JSON.stringify(job.model)
  return new SluiceError('model_unpriced', {
    param: 'model',
    message: `Nobody knows what the model ${model} costs, and a budget limits this request: ask the operator.`,
  })
}

/** What the operator can do about it. Not for clients: it has the provider's name for the model. */
export function whyUnpriced(prices: Prices, model: string, atMs: number): string {
  const found = prices.dearest(model, atMs)
  const reason = found !== null && 'reason' in found ? found.reason : `the model "${model}" has no price`
  return `${reason}; or let such models count at a default price (limits.unpriced)`
}
