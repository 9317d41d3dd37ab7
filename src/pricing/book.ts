/**
 * The prices of the known providers: prices.json, which `npm run prices` makes of `@pydantic/genai-prices`. A model is
 * found as that package finds it; its tests compare the two.
 */
import type { Seller } from '../core/ports/prices.ts'
import type { Rates } from './rates.ts'

/** Texts are compared in any case. */
export type Match =
  | { readonly equals: string }
  | { readonly starts_with: string }
  | { readonly ends_with: string }
  | { readonly contains: string }
  | { readonly regex: string }
  | { readonly or: readonly Match[] }
  | { readonly and: readonly Match[] }

/** Rates that hold from a day on, or at some hours of each day (UTC seconds; past midnight where `to` is less). */
export interface Dated {
  readonly fromMs?: number
  readonly hours?: { readonly from: number; readonly to: number }
  readonly rates: Rates
}

export interface BookModel {
  readonly id: string
  readonly match: Match
  /** The last that holds counts; where none does, the first. Empty: it has prices, but not by the token. */
  readonly prices: readonly Dated[]
}

export interface BookProvider {
  readonly id: string
  /** What the address of its API begins with: a regular expression. */
  readonly api: string
  /** Whose prices hold for models that are not in its list. */
  readonly fallback?: readonly string[]
  readonly models: readonly BookModel[]
}

export interface BookData {
  readonly version: string
  readonly providers: readonly BookProvider[]
}

type Listed = Exclude<Seller, 'own'>

const MAX_KEPT = 1_000
const DAY_MS = 86_400_000
/** "-20250807" is written "-2025-08-07" by others. */
const COMPACT_DATE = /-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)/g

export class Book {
  readonly version: string
  readonly #providers: readonly BookProvider[]
  /** The addresses of their APIs, in the same order. */
  readonly #apis: readonly RegExp[]
  /** What was found, by seller and model; clients choose the names of models. */
  readonly #found = new Map<string, readonly Dated[] | null>()

  constructor({ version, providers }: BookData) {
    this.version = version
    this.#providers = providers
    this.#apis = providers.map(({ api }) => new RegExp(`^(?:${api})`))
  }

  /** Null: unknown, or not sold by the token. */
  rates(seller: Listed, model: string, atMs: number): Rates | null {
    const key = `${'id' in seller ? seller.id : seller.url}\n${model}`
    let prices = this.#found.get(key)
    if (prices === undefined) {
      prices = this.#find(seller, model)
      if (this.#found.size >= MAX_KEPT) this.#found.clear()
      this.#found.set(key, prices)
    }
    return prices === null ? null : ratesAt(prices, atMs)
  }

  /** Is the API at this address one of the book's? */
  sells(url: string): boolean {
    return this.#provider({ url }) !== undefined
  }

  #provider(seller: Listed): BookProvider | undefined {
    return 'id' in seller
      ? this.#providers.find(({ id }) => id === seller.id)
      : this.#providers.find((_, i) => this.#apis[i].test(seller.url))
  }

  #find(seller: Listed, model: string): readonly Dated[] | null {
    const provider = this.#provider(seller)
    if (provider === undefined) return null
    const name = model.toLowerCase().trim()
    const found = this.#modelOf(provider, name) ?? this.#modelOf(provider, name.replace(COMPACT_DATE, '-$1-$2-$3'))
    return found === undefined || found.prices.length === 0 ? null : found.prices
  }

  #modelOf({ models, fallback = [] }: BookProvider, name: string): BookModel | undefined {
    const own = models.find(({ match }) => matches(match, name))
    if (own !== undefined) return own
    for (const id of fallback) {
      const found = this.#provider({ id })?.models.find(({ match }) => matches(match, name))
      if (found !== undefined) return found
    }
    return undefined
  }
}

function ratesAt(prices: readonly Dated[], atMs: number): Rates {
  const second = (((atMs % DAY_MS) + DAY_MS) % DAY_MS) / 1000
  const holds = ({ fromMs, hours }: Dated): boolean => {
    if (fromMs !== undefined) return atMs >= fromMs
    if (hours === undefined) return true
    const { from, to } = hours
    return to < from ? second >= from || second < to : second >= from && second < to
  }
  return (prices.findLast(holds) ?? prices[0]).rates
}

/** `name` is in lower case. */
function matches(match: Match, name: string): boolean {
  if ('or' in match) return match.or.some((each) => matches(each, name))
  if ('and' in match) return match.and.every((each) => matches(each, name))
  if ('equals' in match) return name === match.equals
  if ('starts_with' in match) return name.startsWith(match.starts_with)
  if ('ends_with' in match) return name.endsWith(match.ends_with)
  return 'contains' in match ? name.includes(match.contains) : new RegExp(match.regex).test(name)
}
