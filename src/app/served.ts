/** The models that are served, as their operator sees them. */
import type { Price, Prices } from '../core/ports/prices.ts'
import type { DollarPrice, ServedModel } from '../gateway/deps.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import type { Settings } from './in-force.ts'

export function servedModels(
  settings: Pick<Settings, 'providers'>,
  catalogue: Pick<Catalogue, 'models'>,
  prices: Pick<Prices, 'dearest'>,
  atMs: number,
): readonly ServedModel[] {
  const providerOf = (name: string): string => settings.providers.find((one) => one.name === name)!.model.provider
  return catalogue.models.map(({ name, pool, kinds, deployments }) => {
    const price = prices.dearest(name, atMs)
    return {
      name,
      pool,
      kinds,
      deployments: deployments.map(({ name: deployment, upstreamModel, concurrent, order, ...more }) => ({
        ...{ name: deployment, provider: providerOf(deployment), upstreamModel, concurrent, order },
        weight: more.weight ?? 1,
        tags: more.tags ?? [],
        region: more.region ?? null,
        requestsPerMinute: more.requestsPerMinute ?? null,
        tokensPerMinute: more.tokensPerMinute ?? null,
        contextTokens: more.contextTokens,
      })),
      price: price !== null && 'cost' in price ? inDollars(price) : null,
    }
  })
}

/** Of a prompt that is no longer: above, its rates may be others. */
const PROMPT = 1_000
const NANO_FOR_A_MILLION = 1e6

function inDollars({ version, cost }: Price): DollarPrice {
  const request = cost({ input: 0, output: 0 })
  const prompt = cost({ input: PROMPT, output: 0 })
  return {
    source: version,
    input: (prompt - request) / NANO_FOR_A_MILLION,
    output: (cost({ input: PROMPT, output: PROMPT }) - prompt) / NANO_FOR_A_MILLION,
    request: request / 1e9,
  }
}
