import type { Usage } from '../../core/job.ts'
import { counter, counters } from '../../core/numbers.ts'
import type { By, Recorded } from './recorded.ts'

/** Tokens of each attempt, those that failed included, and what they cost. */
export function tokens(by: By): Recorded {
  const prompt = counter('prompt_tokens', 'Tokens of prompts, of all attempts')
  const completion = counter('completion_tokens', 'Tokens that were generated, of all attempts')
  const byKind = counters('tokens', 'Tokens by kind, and who counted them', 'model', 'kind', 'source', ...by.names)
  const cost = counters('cost_nano_dollars', 'Cost of attempts, and how it is known', 'model', 'source', ...by.names)
  const unpriced = counters('unpriced_attempts', 'Attempts whose price nobody knows', 'model')
  return {
    metrics: [prompt, completion],
    families: [byKind, cost, unpriced],
    observe(fact) {
      if (fact.type !== 'attempt-ended' || fact.usage === undefined) return
      const { usage } = fact
      const model = by.model(fact.model)
      const who = by.values(fact)
      const source = usage.estimated ? 'estimated' : 'reported'
      prompt.add(usage.promptTokens)
      completion.add(usage.completionTokens)
      for (const [kind, member] of KINDS) {
        const count = usage[member] ?? 0
        if (count > 0) byKind.of(model, kind, source, ...who).add(count)
      }
      const nanoDollars = fact.cost?.nanoDollars
      if (nanoDollars === null) unpriced.of(model).add()
      else if (nanoDollars !== undefined) cost.of(model, source, ...who).add(nanoDollars)
    },
  }
}

/** The first two are all of them; the others are parts of those. */
const KINDS = [
  ['prompt', 'promptTokens'],
  ['completion', 'completionTokens'],
  ['prompt_cached', 'cachedTokens'],
  ['prompt_cache_write', 'cacheWriteTokens'],
  ['prompt_audio', 'audioPromptTokens'],
  ['completion_reasoning', 'reasoningTokens'],
  ['completion_audio', 'audioCompletionTokens'],
] as const satisfies ReadonlyArray<readonly [string, Exclude<keyof Usage, 'estimated'>]>
