import { counter, counters } from '../../core/numbers.ts'
import { NONE, type Recorded } from './recorded.ts'

export function requests(): Recorded {
  const ended = counter('requests', 'HTTP requests that ended')
  const refused = counter('requests_refused', 'Requests that were answered with an error')
  const byRoute = counters('http_requests', 'HTTP requests that ended, by route and status', 'route', 'status')
  const refusals = counters('http_refusals', 'HTTP requests that were answered with an error, by its code', 'code')
  const aborts = counters('http_aborts', 'HTTP requests whose client left before the end of the answer', 'route')
  return {
    metrics: [ended, refused],
    families: [byRoute, refusals, aborts],
    observe(fact) {
      if (fact.type !== 'request-ended') return
      const route = fact.route ?? NONE
      ended.add()
      byRoute.of(route, String(fact.status)).add()
      if (!fact.complete) aborts.of(route).add()
      if (fact.code === null) return
      refused.add()
      refusals.of(fact.code).add()
    },
  }
}
