import { counter } from '../../core/numbers.ts'
import type { Recorded } from './recorded.ts'

export function attempts(): Recorded {
  const ended = counter('attempts', 'Attempts that ended')
  const failed = counter('attempts_failed', 'Attempts that failed')
  const prompt = counter('prompt_tokens', 'Tokens of prompts, of all attempts')
  const completion = counter('completion_tokens', 'Tokens that were generated, of all attempts')
  const cut = counter('answers_cut', 'Answers that a limit ended')
  return {
    metrics: [ended, failed, prompt, completion, cut],
    observe(fact) {
      if (fact.type === 'answer-cut') return cut.add()
      if (fact.type !== 'attempt-ended') return
      ended.add()
      if (fact.code !== null) failed.add()
      prompt.add(fact.usage?.promptTokens ?? 0)
      completion.add(fact.usage?.completionTokens ?? 0)
    },
  }
}
