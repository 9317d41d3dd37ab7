import { counter } from '../../core/numbers.ts'
import type { Recorded } from './recorded.ts'

export function guards(): Recorded {
  const verdicts = {
    block: counter('guards_blocked', 'Requests and answers that a guard blocked'),
    redact: counter('guards_redacted', 'Requests and answers in which a guard replaced something'),
    flag: counter('guards_flagged', 'Requests and answers that a guard flagged'),
  }
  const shadowed = counter('guards_shadowed', 'Verdicts of guards in shadow mode, of which nothing came')
  const unscanned = counter('guards_unscanned', 'Requests and answers that a guard could not look through as a whole')
  return {
    metrics: [...Object.values(verdicts), shadowed, unscanned],
    observe(fact) {
      if (fact.type !== 'guard-decided') return
      const { mode, verdict } = fact
      if (fact.unscanned.length > 0) unscanned.add()
      if (verdict === 'allow') return
      if (mode === 'shadow') shadowed.add()
      else verdicts[verdict].add()
    },
  }
}
