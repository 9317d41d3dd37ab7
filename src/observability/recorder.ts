/** Turns facts into numbers: what came in, how it ended, where the time went. */
import type { Fact } from '../core/facts.ts'
import type { Timing } from '../core/job.ts'
import { counter, histogram, type NumberSource } from '../core/numbers.ts'
import type { Observe } from './emit.ts'

export interface Recorder extends NumberSource {
  readonly observe: Observe
}

export function createRecorder(): Recorder {
  const requests = counter('requests', 'HTTP requests that ended')
  const refused = counter('requests_refused', 'Requests that were answered with an error')
  const submitted = counter('jobs_submitted', 'Jobs that were accepted')
  const joined = counter('jobs_joined', 'Submits that joined a job that was there already')
  const unaccepted = counter('jobs_refused', 'Submits that were refused')
  const ended = {
    done: counter('jobs_done', 'Jobs that ended well'),
    failed: counter('jobs_failed', 'Jobs that failed'),
    canceled: counter('jobs_canceled', 'Jobs that were canceled'),
    expired: counter('jobs_expired', 'Jobs whose deadline passed before they ran'),
  }
  const queued = histogram('job_queued_ms', 'In line before a lease, from acceptance or since the job was returned')
  const ttft = histogram('job_ttft_ms', 'From a job’s acceptance to its first text')
  const tpot = histogram('job_tpot_ms', 'For each token of a job after the first')
  const total = histogram('job_total_ms', 'From a job’s acceptance to its end')
  const attempts = counter('attempts', 'Attempts that ended')
  const failed = counter('attempts_failed', 'Attempts that failed')
  const prompt = counter('prompt_tokens', 'Tokens of prompts, of all attempts')
  const completion = counter('completion_tokens', 'Tokens that were generated, of all attempts')
  const shown = histogram('first_token_shown_ms', 'From submit to the first text, as clients report it')

  function took({ ttftMs, tpotMs, totalMs }: Timing): void {
    total.record(totalMs)
    if (ttftMs !== undefined) ttft.record(ttftMs)
    if (tpotMs !== undefined) tpot.record(tpotMs)
  }

  function observe(fact: Fact): void {
    switch (fact.type) {
      case 'request-ended':
        requests.add()
        if (fact.code !== null) refused.add()
        return
      case 'job-submitted':
        return fact.joined ? joined.add() : submitted.add()
      case 'job-refused':
        return unaccepted.add()
      case 'job-leased':
        return queued.record(fact.waitedMs)
      case 'job-ended': {
        const { state, timing } = fact
        if (state in ended) ended[state as keyof typeof ended].add()
        if (timing !== undefined) took(timing)
        return
      }
      case 'attempt-ended':
        attempts.add()
        if (fact.code !== null) failed.add()
        prompt.add(fact.usage?.promptTokens ?? 0)
        completion.add(fact.usage?.completionTokens ?? 0)
        return
      case 'first-token-shown':
        return shown.record(fact.ttftMs)
      default:
    }
  }

  return {
    observe,
    metrics: [
      ...[requests, refused, submitted, joined, unaccepted, ...Object.values(ended)],
      ...[queued, ttft, tpot, total, attempts, failed, prompt, completion, shown],
    ],
  }
}
