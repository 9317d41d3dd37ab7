import { counter } from '../../core/numbers.ts'
import type { Recorded } from './recorded.ts'

export function requests(): Recorded {
  const ended = counter('requests', 'HTTP requests that ended')
  const refused = counter('requests_refused', 'Requests that were answered with an error')
  return {
    metrics: [ended, refused],
    observe(fact) {
      if (fact.type !== 'request-ended') return
      ended.add()
      if (fact.code !== null) refused.add()
    },
  }
}
