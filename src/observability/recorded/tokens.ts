import type { Usage } from '../../core/job.ts'
import { counter, counters } from '../../core/numbers.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import type { By, Recorded } from './recorded.ts'

/** Tokens of each call, those that failed included, and what they cost. */
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
      // One that is repeated from the cache has the usage of the call that was made for it
      if (fact.type !== 'attempt-ended' && fact.type !== 'attempt-hedged') return
      if (fact.usage === undefined || fact.deployment === FROM_CACHE) return
      const { usage } = fact
      const model = by.model(fact.model)
      const who = by.who(fact)
      const source = usage.estimated ? 'estimated' : 'reported'
      prompt.add(usage.promptTokens)
      completion.add(usage.completionTokens)
      for (const { kind, member } of KINDS) {
        const count = usage[member] ?? 0
        if (count > 0) byKind.of(model, kind, source, who).add(count)
      }
      const nanoDollars = fact.cost?.nanoDollars
      if (nanoDollars === null) unpriced.of(model).add()
      else if (nanoDollars !== undefined) cost.of(model, source, who).add(nanoDollars)
    },
  }
}

/** The first two are all of them; the others are parts of those. */
const KINDS: ReadonlyArray<{ readonly kind: string; readonly member: Exclude<keyof Usage, 'estimated'> }> = [
  { kind: 'prompt', member: 'promptTokens' },
  { kind: 'completion', member: 'completionTokens' },
  { kind: 'prompt_cached', member: 'cachedTokens' },
  { kind: 'prompt_cache_write', member: 'cacheWriteTokens' },
  { kind: 'prompt_audio', member: 'audioPromptTokens' },
  { kind: 'completion_reasoning', member: 'reasoningTokens' },
  { kind: 'completion_audio', member: 'audioCompletionTokens' },
]
