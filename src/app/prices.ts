/** The prices of the configured models: a reload changes them at once. */
import type { ModelConfig } from '../config/schema.ts'
import type { Prices } from '../core/ports/prices.ts'
import { createPrices, type Sold } from '../pricing/prices.ts'
import { perMillion, type RateName, type Rates } from '../pricing/rates.ts'
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

/** What is paid one by one, by how many of its unit: tokens are by the million. */
const SINGLE: Readonly<Record<string, readonly [rate: RateName, units: number]>> = {
  request: ['request', 1],
  image: ['images', 1],
  second: ['audioMs', 1_000],
  character: ['characters', 1],
}

function rateOf([name, dollars]: readonly [string, number]): readonly [string, number] {
  const single = SINGLE[name]
  return single === undefined ? [name, perMillion(dollars)] : [single[0], perMillion((dollars * 1e6) / single[1])]
}

function ratesOf({ price }: ModelConfig): Rates | null {
  const given = Object.entries(price).filter((each): each is [string, number] => each[1] !== null)
  return given.length === 0 ? null : Object.fromEntries(given.map(rateOf))
}
