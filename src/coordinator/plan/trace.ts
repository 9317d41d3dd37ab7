/** Why a job goes where it goes: the same decision again, told. */

import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { RouteStep, RouteTrace } from '../../core/ports/operations.ts'
import type { Awaited } from './awaiting.ts'
import type { Asked, Choice } from './choice.ts'
import type { DeploymentState } from './deployment.ts'
import { type Ask, expectedMs } from './policies/policy.ts'
import { type Route, unfitFor } from './route.ts'

export interface Traced {
  readonly route: Route
  readonly asked: Asked
  readonly ask: Ask
  readonly candidates: readonly DeploymentState[]
  readonly chosen: DeploymentState | null
  /** It waits for this one rather than be answered by one with room. */
  readonly awaits: Awaited | null
}

export const traceOf = (job: ScheduledJob, steps: readonly Traced[], choice: Choice, now: number): RouteTrace => ({
  promptTokens: job.promptTokens,
  outputTokens: steps.length === 0 ? 0 : steps[0].ask.outputTokens,
  deployment: steps.at(-1)?.chosen?.name ?? null,
  steps: steps.map((step) => stepOf(job, step, choice, now)),
})

function stepOf(
  job: ScheduledJob,
  { route, asked, ask, candidates, chosen, awaits }: Traced,
  choice: Choice,
  now: number,
): RouteStep {
  const { policy } = route
  const group = route[job.kind].all
  return {
    model: asked.model,
    policy: policy.name,
    unit: policy.unit,
    cachedAt: asked.cachedAt,
    deployments: group.map((one) => {
      const isCandidate = candidates.includes(one)
      const out = isCandidate ? null : (unfitFor(one, job) ?? choice.why(one, asked, now) ?? 'order')
      const score = policy.score(one, ask)
      const { ttftMs, tpotMs } = one.speed
      return {
        ...{ deployment: one.name, order: one.settings!.order, active: one.active, out },
        score: Number.isFinite(score) ? score : null,
        expectedMs: expectedMs(one, ask),
        ...{ ttftMs, tpotMs, errorRate: one.speed.errors, headroom: one.quota.headroom(now) },
        hedgeAfterMs: group.length > 1 ? one.hedgeAfterMs : null,
      }
    }),
    chosen: chosen?.name ?? null,
    ...(awaits !== null && { awaits: { deployment: awaits.state.name, inMs: awaits.inMs } }),
  }
}
