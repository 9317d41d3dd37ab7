import { histogram } from '../../core/numbers.ts'
import type { Recorded } from './recorded.ts'

export function firstToken(): Recorded {
  const shown = histogram('first_token_shown_ms', 'From submit to the first text, as clients report it')
  return {
    metrics: [shown],
    observe(fact) {
      if (fact.type === 'first-token-shown') shown.record(fact.ttftMs)
    },
  }
}
