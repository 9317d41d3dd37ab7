import type { Timing } from '../../core/job.ts'
import { counter, histogram } from '../../core/numbers.ts'
import type { Recorded } from './recorded.ts'

export function jobs(): Recorded {
  const submitted = counter('jobs_submitted', 'Jobs that were accepted')
  const joined = counter('jobs_joined', 'Submits that joined a job that was there already')
  const refused = counter('jobs_refused', 'Submits that were refused')
  const ended = {
    done: counter('jobs_done', 'Jobs that ended well'),
    failed: counter('jobs_failed', 'Jobs that failed'),
    canceled: counter('jobs_canceled', 'Jobs that were canceled'),
    expired: counter('jobs_expired', 'Jobs whose deadline passed before they ran'),
  }
  const queued = histogram('job_queued_ms', 'In line, over all waits of a job')
  const ttft = histogram('job_ttft_ms', 'From a job’s acceptance to its first text')
  const tpot = histogram('job_tpot_ms', 'For each token of a job after the first')
  const total = histogram('job_total_ms', 'From a job’s acceptance to the end of its last attempt')

  function took({ queuedMs, ttftMs, tpotMs, totalMs }: Timing): void {
    queued.record(queuedMs)
    total.record(totalMs)
    if (ttftMs !== undefined) ttft.record(ttftMs)
    if (tpotMs !== undefined) tpot.record(tpotMs)
  }

  return {
    metrics: [submitted, joined, refused, ...Object.values(ended), queued, ttft, tpot, total],
    observe(fact) {
      switch (fact.type) {
        case 'job-submitted':
          return fact.joined ? joined.add() : submitted.add()
        case 'job-refused':
          return refused.add()
        case 'job-ended': {
          const { state, timing } = fact
          if (state in ended) ended[state as keyof typeof ended].add()
          if (timing !== undefined) took(timing)
          return
        }
        default:
      }
    },
  }
}
