/** The price of a call: as its model's settings have it, else by its seller's list. */
import type { Price, Prices, Seller, Tokens, Unpriced } from '../core/ports/prices.ts'
import type { Book } from './book.ts'
import { isOwnAddress } from './own-address.ts'
import { costOf, FREE, type Rates } from './rates.ts'

/** A deployment, as far as its price goes. */
export interface Sold {
  /** Lower ones are tried first. */
  readonly order: number
  /** The provider's name for the model; null: as the client calls it. */
  readonly upstreamModel: string | null
  readonly seller: Seller
  /** From the settings. */
  readonly rates: Rates | null
}

export interface SoldBy {
  /** The deployments of a model, by its public name; null: there is no such model. */
  model(name: string): readonly Sold[] | null
  /** Null: there is no such deployment. */
  deployment(name: string): Sold | null
}

/** `otherwise`: what a model counts whose price nobody knows; null: its price stays unknown. */
export function createPrices(book: () => Book, sold: SoldBy, otherwise: () => Rates | null = () => null): Prices {
  /** By address; these are the settings', so there are few. */
  const sellers = new Map<string, 'listed' | 'own' | 'unknown'>()
  function kindOf(url: string): 'listed' | 'own' | 'unknown' {
    let kind = sellers.get(url)
    if (kind === undefined) {
      kind = book().sells(url) ? 'listed' : isOwnAddress(url) ? 'own' : 'unknown'
      sellers.set(url, kind)
    }
    return kind
  }

  function priceOf({ rates, seller, upstreamModel }: Sold, model: string, atMs: number): Price | Unpriced {
    if (rates !== null) return at('settings', rates)
    if (seller === 'own') return at('own', FREE)
    // "groq/llama-3.3-70b" is called so here, where Groq is one of several that have it
    const own = 'id' in seller && model.startsWith(`${seller.id}/`) ? model.slice(seller.id.length + 1) : model
    const name = upstreamModel ?? own
    const listed = book().rates(seller, name, atMs)
    if (listed !== null) return at(book().version, listed)
    const kind = 'url' in seller ? kindOf(seller.url) : 'listed'
    if (kind === 'own') return at('own', FREE)
    const counted = otherwise()
    if (counted !== null) return at('unpriced', counted)
    if (kind === 'unknown')
      return { reason: `no price list has the provider of "${name}": give the model a price in the settings` }
    return { reason: `no price list has the model "${name}": give it a price in the settings` }
  }

  /** One price that nobody knows makes all of it unknown. */
  function dearestOf(some: readonly Sold[], model: string, atMs: number): Price | Unpriced {
    if (some.length === 1) return priceOf(some[0], model, atMs)
    const found = some.map((each) => priceOf(each, model, atMs))
    const unknown = found.find((each) => 'reason' in each)
    return unknown ?? dearest(found as readonly Price[])
  }

  return {
    of(model, atMs) {
      const all = sold.model(model)
      if (all === null) return null
      const first = Math.min(...all.map(({ order }) => order))
      const tried = all.filter(({ order }) => order === first)
      return dearestOf(tried, model, atMs)
    },
    dearest(model, atMs) {
      const all = sold.model(model)
      return all && dearestOf(all, model, atMs)
    },
    at(deployment, model, atMs) {
      const one = sold.deployment(deployment)
      return one && priceOf(one, model, atMs)
    },
  }
}

const at = (version: string, rates: Rates): Price => ({ version, cost: (tokens: Tokens) => costOf(tokens, rates) })

const dearest = (prices: readonly Price[]): Price => ({
  version: [...new Set(prices.map(({ version }) => version))].join(', '),
  cost: (tokens) => Math.max(...prices.map((price) => price.cost(tokens))),
})
