/** The prices of the configured models: a reload changes them at once. */
import type { ModelConfig } from '../config/schema.ts'
import type { Prices } from '../core/ports/prices.ts'
import { createPrices, type Sold } from '../pricing/prices.ts'
import { perMillion, type Rates } from '../pricing/rates.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import { book } from './data.ts'
import type { Settings } from './in-force.ts'
import { sellerOf } from './models.ts'

export function pricesOf(settings: Settings, catalogue: Catalogue): Prices {
  const kept = new WeakMap<ModelConfig, Sold>()
  const sold = ({ name, order, upstreamModel }: Pick<Sold, 'order' | 'upstreamModel'> & { name: string }): Sold => {
    const { model } = settings.providers.find((provider) => provider.name === name)!
    let found = kept.get(model)
    if (found === undefined) {
      found = { order, upstreamModel, seller: sellerOf(model), rates: ratesOf(model) }
      kept.set(model, found)
    }
    return found
  }
  const soldBy = {
    model: (name: string) => catalogue.resolve(name)?.deployments.map(sold) ?? null,
    deployment(name: string) {
      const found = catalogue.deployment(name)
      return found && sold(found)
    },
  }
  return createPrices(book, soldBy, () => {
    const { unpriced, unpricedDollarsPerMillionTokens: dollars } = settings.config.limits
    if (unpriced === 'refuse' || dollars === null) return null
    return { input: perMillion(dollars), output: perMillion(dollars) }
  })
}

function ratesOf({ price }: ModelConfig): Rates | null {
  const given = Object.entries(price).filter((each): each is [string, number] => each[1] !== null)
  // A request is paid one by one, tokens by the million
  const rate = (name: string, dollars: number): number => perMillion(name === 'request' ? dollars * 1e6 : dollars)
  return given.length === 0 ? null : Object.fromEntries(given.map(([name, dollars]) => [name, rate(name, dollars)]))
}
