import { ttftOfParts } from '../../core/goals.ts'
import { histogram, histograms } from '../../core/numbers.ts'
import type { By, Recorded } from './recorded.ts'

/** Of means, parts add up to the whole; of percentiles they do not. */
export function firstToken(by: By): Recorded {
  const shown = histogram('first_token_shown_ms', 'From submit to the first text, as clients report it')
  const ttft = histograms(
    'ttft_ms',
    'From a request’s head to the first text of its answer, without the wait for its own turn',
    'model',
    'deployment',
  )
  const parts = histograms('ttft_part_ms', 'Where the time to the first text went', 'model', 'part')
  const client = histograms('client_ttft_ms', 'From submit to the first text, as clients report it', 'model')
  return {
    metrics: [shown],
    families: [ttft, parts, client],
    observe(fact) {
      switch (fact.type) {
        case 'first-token-received': {
          if (fact.isWhole) return
          const model = by.model(fact.model)
          ttft.of(model, fact.deployment).record(ttftOfParts(fact.parts))
          const { admission, queue, retries, routing, connect, upstream } = fact.parts
          // One by one: a member by a name that varies is looked up anew each time
          parts.of(model, 'admission').record(admission)
          parts.of(model, 'queue').record(queue)
          parts.of(model, 'retries').record(retries)
          parts.of(model, 'routing').record(routing)
          parts.of(model, 'connect').record(connect)
          parts.of(model, 'upstream').record(upstream)
          return
        }
        case 'first-token-delivered':
          return parts.of(by.model(fact.model), 'delivery').record(fact.parts.delivery)
        case 'first-token-shown':
          shown.record(fact.ttftMs)
          return client.of(by.model(fact.model)).record(fact.ttftMs)
        default:
      }
    },
  }
}
