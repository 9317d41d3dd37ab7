/** What an attempt costs: its tokens by kind, at its deployment's price when it was called. */
import type { Clock } from '../core/clock.ts'
import type { Usage } from '../core/job.ts'
import type { Prices, Tokens } from '../core/ports/prices.ts'
import type { Cost } from '../core/usage-record.ts'

/** Nobody knows. */
const UNPRICED: Cost = { nanoDollars: null, priceVersion: null }
/** A provider that refused, or was not reached, asks for nothing, not even for the request. */
const isFree = ({ promptTokens, completionTokens }: Usage): boolean => promptTokens === 0 && completionTokens === 0

export const costing =
  (prices: Pick<Prices, 'at'>, clock: Pick<Clock, 'wallMs'>) =>
  (deployment: string, model: string): ((usage: Usage) => Cost) => {
    const found = prices.at(deployment, model, clock.wallMs())
    const price = found !== null && 'cost' in found ? found : null
    const priceVersion = price?.version ?? null
    return (usage) => {
      if (isFree(usage)) return { nanoDollars: 0, priceVersion }
      return price === null ? UNPRICED : { nanoDollars: price.cost(tokensOf(usage)), priceVersion }
    }
  }

const tokensOf = (usage: Usage): Tokens => ({
  input: usage.promptTokens,
  output: usage.completionTokens,
  ...(usage.cachedTokens !== undefined && { cachedInput: usage.cachedTokens }),
  ...(usage.cacheWriteTokens !== undefined && { cacheWrite: usage.cacheWriteTokens }),
  ...(usage.audioPromptTokens !== undefined && { inputAudio: usage.audioPromptTokens }),
  ...(usage.reasoningTokens !== undefined && { reasoning: usage.reasoningTokens }),
  ...(usage.audioCompletionTokens !== undefined && { outputAudio: usage.audioCompletionTokens }),
})
