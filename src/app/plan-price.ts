/** What a token costs at each deployment, as the plan compares them. */
import type { Config, ModelConfig } from '../config/schema.ts'
import type { TokenPrice } from '../core/limits.ts'
import { createPrices } from '../pricing/prices.ts'
import { book } from './data.ts'
import { type PriceOf, sellerOf, upstreamOf } from './models.ts'

/** Nano-dollars a token, of a dollar a million. */
const NANO = 1_000
const PROMPT = 1_000

/** List prices are looked up only where one is chosen by them: to read the list takes a start some milliseconds. */
export function planPrices(config: Config, atMs: number): PriceOf {
  const isCheapest = [config.routing.policy, ...config.models.map(({ policy }) => policy)].includes('cheapest')
  return (model) => configured(model) ?? (isCheapest ? listed(model, atMs) : null)
}

const configured = ({ price: { input, output } }: ModelConfig): TokenPrice | null =>
  input === null && output === null ? null : { input: (input ?? 0) * NANO, output: (output ?? 0) * NANO }

function listed(model: ModelConfig, atMs: number): TokenPrice | null {
  const sold = { order: model.order, upstreamModel: upstreamOf(model), seller: sellerOf(model), rates: null }
  const price = createPrices(book, { model: () => [sold], deployment: () => sold }).at('', model.name, atMs)
  if (price === null || 'reason' in price) return null
  const prompt = price.cost({ input: PROMPT, output: 0 })
  const request = price.cost({ input: 0, output: 0 })
  const output = price.cost({ input: PROMPT, output: PROMPT }) - prompt
  return { input: (prompt - request) / PROMPT, output: output / PROMPT }
}
