/** What src/pricing/prices.json is made of: `@pydantic/genai-prices`, as far as it sells tokens. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { BookData, Dated, Match } from '../src/pricing/book.ts'
import { perMillion, type Rate, type RateName, type Rates } from '../src/pricing/rates.ts'

const NAME = '@pydantic/genai-prices'

/** Of the package, what is read here and in the tests. */
export interface GenaiPrices {
  waitForUpdate(): Promise<readonly GenaiProvider[]>
  calcPrice(
    usage: Readonly<Record<string, number | undefined>>,
    model: string,
    options: { providerId?: string; providerApiUrl?: string; timestamp?: Date },
  ): { readonly total_price: number } | null
}
type GenaiPrice = number | { readonly base: number; readonly tiers: ReadonlyArray<{ start: number; price: number }> }
type GenaiRates = Readonly<Record<string, GenaiPrice | undefined>>
interface GenaiProvider {
  readonly id: string
  readonly api_pattern: string
  readonly fallback_model_providers?: readonly string[]
  readonly models: ReadonlyArray<{
    readonly id: string
    readonly match: Match
    readonly prices: GenaiRates | ReadonlyArray<{ readonly constraint?: Constraint; readonly prices: GenaiRates }>
  }>
}
type Constraint = { readonly start_date: string } | { readonly start_time: string; readonly end_time: string }

const NAMES: ReadonlyArray<readonly [RateName, string]> = [
  ['input', 'input_mtok'],
  ['cachedInput', 'cache_read_mtok'],
  ['cacheWrite', 'cache_write_mtok'],
  ['cacheWriteLong', 'cache_write_1h_mtok'],
  ['inputAudio', 'input_audio_mtok'],
  ['cachedAudio', 'cache_audio_read_mtok'],
  ['output', 'output_mtok'],
  ['reasoning', 'output_reasoning_mtok'],
  ['outputAudio', 'output_audio_mtok'],
]

// Types of our own, so that `npm run types` needs no package that only makes data
const require = createRequire(import.meta.url)
export const genaiPrices = require(NAME) as GenaiPrices

export async function priceData(): Promise<BookData> {
  const { version } = require(join(require.resolve(NAME), '../../package.json')) as { readonly version: string }
  const providers = await genaiPrices.waitForUpdate()
  return {
    version: `genai-prices@${version}`,
    providers: providers.map(({ id, api_pattern, fallback_model_providers: fallback, models }) => ({
      id,
      api: api_pattern,
      ...(fallback && { fallback }),
      models: models.map((model) => ({ id: model.id, match: lowerCased(model.match), prices: dated(model.prices) })),
    })),
  }
}

function dated(prices: GenaiProvider['models'][number]['prices']): readonly Dated[] {
  const all = Array.isArray(prices) ? prices : [{ prices: prices as GenaiRates }]
  const made = all.map(({ constraint, prices }) => ({ ...when(constraint), rates: ratesOf(prices) }))
  return made.some(({ rates }) => Object.keys(rates).length === 0) ? [] : made
}

function when(constraint: Constraint | undefined): Omit<Dated, 'rates'> {
  if (constraint === undefined) return {}
  if ('start_date' in constraint) return { fromMs: Date.parse(constraint.start_date) }
  return { hours: { from: secondOf(constraint.start_time), to: secondOf(constraint.end_time) } }
}

function secondOf(time: string): number {
  const [, h, m, s] = /^(\d\d):(\d\d):(\d\d)Z$/.exec(time) ?? []
  if (s === undefined) throw new Error(`"${time}" is no time of day in UTC`)
  return Number(h) * 3600 + Number(m) * 60 + Number(s)
}

/** Empty: it is not sold by the token. */
function ratesOf(prices: GenaiRates): Rates {
  const rates: { [name in RateName]?: Rate } = {}
  for (const [name, key] of NAMES) {
    const price = prices[key]
    if (price !== undefined) rates[name] = rateOf(price)
  }
  if (rates.input === undefined && rates.output === undefined) return {}
  const { requests_kcount: requests } = prices
  if (typeof requests === 'number') rates.request = perMillion(requests * 1000)
  return rates
}

const rateOf = (price: GenaiPrice): Rate =>
  typeof price === 'number'
    ? perMillion(price)
    : {
        base: perMillion(price.base),
        tiers: price.tiers
          .map(({ start, price }) => ({ above: start, rate: perMillion(price) }))
          .sort((a, b) => a.above - b.above),
      }

function lowerCased(match: Match): Match {
  if ('or' in match) return { or: match.or.map(lowerCased) }
  if ('and' in match) return { and: match.and.map(lowerCased) }
  if ('regex' in match) return match
  return Object.fromEntries(Object.entries(match).map(([how, text]) => [how, text.toLowerCase()])) as unknown as Match
}

/** One line a model, so that a new version of the package can be reviewed. */
export function priceFile({ version, providers }: BookData): string {
  const lines = providers.map(({ models, ...provider }) => {
    const head = JSON.stringify(provider).slice(0, -1)
    return `${head},"models":[\n${models.map((model) => JSON.stringify(model)).join(',\n')}\n]}`
  })
  return `{"version":${JSON.stringify(version)},"providers":[\n${lines.join(',\n')}\n]}\n`
}
