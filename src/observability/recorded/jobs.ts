import type { Timing } from '../../core/job.ts'
import { counter, counters, histogram, histograms } from '../../core/numbers.ts'
import { type By, NONE, type Recorded } from './recorded.ts'

export function jobs(by: By): Recorded {
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
  const byModel = counters('ended_jobs', 'Jobs that ended, by state and error', 'model', 'state', 'code', ...by.names)
  const e2e = histograms('e2e_ms', 'From a request’s head to the end of the last attempt', 'model', 'state')
  const pace = histograms('tpot_ms', 'Time per output token after the first', 'model', 'deployment')
  const judged = counters('judged_jobs', 'Jobs that ended, but for canceled ones', 'model', ...by.names)
  const good = counters('good_jobs', 'Of those, the ones that were done within the goals', 'model', ...by.names)

  function took({ queuedMs, ttftMs, tpotMs, totalMs }: Timing): void {
    queued.record(queuedMs)
    total.record(totalMs)
    if (ttftMs !== undefined) ttft.record(ttftMs)
    if (tpotMs !== undefined) tpot.record(tpotMs)
  }

  return {
    metrics: [...Object.values(ended), queued, ttft, tpot, total],
    families: [byModel, e2e, pace, judged, good],
    observe(fact) {
      if (fact.type !== 'job-ended') return
      const { state, timing, code, deployment, good: isGood = null } = fact
      const model = by.model(fact.model)
      const who = by.who(fact)
      if (state in ended) ended[state as keyof typeof ended].add()
      byModel.of(model, state, code ?? NONE, who).add()
      if (isGood !== null) {
        judged.of(model, who).add()
        // A series that is born with the first good answer would be missing in the worst outage
        good.of(model, who).add(isGood ? 1 : 0)
      }
      if (timing === undefined) return
      took(timing)
      e2e.of(model, state).record(timing.totalMs + (timing.parts?.admission ?? 0))
      if (timing.tpotMs !== undefined) pace.of(model, deployment ?? NONE).record(timing.tpotMs)
    },
  }
}
