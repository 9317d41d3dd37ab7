/** What other programs are told of jobs (PROTOCOL.md): ids, names and numbers, no text of users. */
import type { Fact } from '../../core/facts.ts'
import type { Timing, Usage } from '../../core/job.ts'

type AboutJob = Pick<
  Extract<Fact, { type: 'job-ended' }>,
  'atMs' | 'job' | 'tenant' | 'keyId' | 'model' | 'requestId' | 'trace'
>

/** One event, without what numbers it. Null: the fact is none that others are told. */
export function eventOf(fact: Fact): (Readonly<Record<string, unknown>> & { readonly job: string }) | null {
  switch (fact.type) {
    case 'job-submitted': {
      if (fact.joined) return null
      const { kind, cached } = fact
      return { type: 'job.accepted', ...about(fact), kind, ...(cached !== undefined && { cached }) }
    }
    case 'job-leased': {
      const { attempt, deployment, queuedMs } = fact
      return { type: 'job.started', ...about(fact), attempt, deployment, queued_ms: queuedMs }
    }
    case 'job-returned':
      return { type: 'job.returned', ...about(fact), attempt: fact.attempt, delay_ms: fact.delayMs }
    case 'attempt-ended': {
      const { attempt, deployment, code, stopped, usage, cost } = fact
      return {
        type: 'attempt.ended',
        ...about(fact),
        attempt,
        deployment,
        error: code,
        ...(stopped !== undefined && { stopped }),
        ...(usage !== undefined && { usage: usageOf(usage) }),
        ...(cost !== undefined && { cost_nano_usd: cost.nanoDollars }),
      }
    }
    case 'job-ended': {
      const { state, deployment, code, usage, timing, nanoDollars } = fact
      return {
        type: 'job.ended',
        ...about(fact),
        state,
        deployment,
        error: code,
        ...(usage !== undefined && { usage: usageOf(usage) }),
        ...(timing !== undefined && { timing: timingOf(timing) }),
        ...(nanoDollars !== undefined && { cost_nano_usd: nanoDollars }),
      }
    }
    default:
      return null
  }
}

const about = ({ atMs, job, tenant, keyId, model, requestId, trace }: AboutJob) => ({
  at: new Date(atMs).toISOString(),
  job,
  tenant,
  key_id: keyId,
  model,
  ...(requestId !== null && { request_id: requestId }),
  ...(trace !== null && { traceparent: trace }),
})

const usageOf = ({ promptTokens, completionTokens, cachedTokens, reasoningTokens, estimated }: Usage) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  ...(cachedTokens !== undefined && { cached_tokens: cachedTokens }),
  ...(reasoningTokens !== undefined && { reasoning_tokens: reasoningTokens }),
  estimated,
})

const timingOf = ({ queuedMs, turnMs, ttftMs, tpotMs, totalMs, attempts }: Timing) => ({
  queued_ms: queuedMs,
  ...(turnMs !== undefined && { turn_ms: turnMs }),
  ...(ttftMs !== undefined && { ttft_ms: ttftMs }),
  ...(tpotMs !== undefined && { tpot_ms: tpotMs }),
  total_ms: totalMs,
  attempts,
})
