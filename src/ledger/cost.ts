/** What an attempt costs: its tokens by kind, and its media, at its deployment's price when it was called. */
import type { Clock } from '../core/clock.ts'
import { isMedia, type JobKind, type Usage } from '../core/job.ts'
import type { MediaUnits } from '../core/media-units.ts'
import type { Prices, Tokens } from '../core/ports/prices.ts'
import type { Cost } from '../core/usage-record.ts'

/** Nobody knows. */
const UNPRICED: Cost = { nanoDollars: null, priceVersion: null }
const NO_TOKENS: Tokens = { input: 0, output: 0 }
/** A provider that refused, or was not reached, asks for nothing, not even for the request. */
const isFree = ({ promptTokens, completionTokens }: Usage): boolean => promptTokens === 0 && completionTokens === 0

export const costing =
  (prices: Pick<Prices, 'at'>, clock: Pick<Clock, 'wallMs'>) =>
  (deployment: string, model: string, kind: JobKind = 'chat'): ((usage: Usage, units?: MediaUnits) => Cost) => {
    const found = prices.at(deployment, model, clock.wallMs())
    const price = found !== null && 'cost' in found ? found : null
    const priceVersion = price?.version ?? null
    return (usage, units = {}) => {
      if (isFree(usage)) return { nanoDollars: 0, priceVersion }
      if (price === null) return UNPRICED
      const nanoDollars = price.cost({ ...tokensOf(usage), ...units })
      if (!isMedia(kind) || !usage.estimated) return { nanoDollars, priceVersion }
      // Of tokens that its provider does not tell: what its request and its units cost, or nothing
      const flat = price.cost({ ...NO_TOKENS, ...units })
      return flat === 0 && nanoDollars !== 0 ? UNPRICED : { nanoDollars: flat, priceVersion }
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
