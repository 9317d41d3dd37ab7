import { counter, counters, histograms } from '../../core/numbers.ts'
import { type By, NONE, type Recorded } from './recorded.ts'

export function submits(by: By): Recorded {
  const submitted = counter('jobs_submitted', 'Jobs that were accepted')
  const joined = counter('jobs_joined', 'Submits that joined a job that was there already')
  const refused = counter('jobs_refused', 'Submits that were refused')
  const all = counters('submits', 'Submits, by outcome', 'model', 'outcome', 'code', ...by.names)
  const shared = counters(
    'shared_answers',
    'Accepted jobs that may share an answer, by how they get it',
    'model',
    'how',
  )
  const turn = histograms('turn_ms', 'Until its own turn, of jobs that waited for it', 'model')
  const queue = histograms('queue_ms', 'In line before the first attempt, from its own turn on', 'model')
  return {
    metrics: [submitted, joined, refused],
    families: [all, shared, turn, queue],
    observe(fact) {
      switch (fact.type) {
        case 'job-submitted': {
          const model = by.model(fact.model)
          ;(fact.joined ? joined : submitted).add()
          all.of(model, fact.joined ? 'joined' : 'accepted', NONE, by.who(fact)).add()
          if (fact.cached !== undefined && !fact.joined) shared.of(model, fact.cached).add()
          return
        }
        case 'job-refused':
          refused.add()
          return all.of(by.model(fact.model), 'refused', fact.code, by.who(fact)).add()
        case 'job-leased': {
          if (fact.attempt !== 1) return
          const model = by.model(fact.model)
          const { queuedMs, turnMs = 0 } = fact
          if (turnMs > 0) turn.of(model).record(turnMs)
          return queue.of(model).record(queuedMs - turnMs)
        }
        default:
      }
    },
  }
}
