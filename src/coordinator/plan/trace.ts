/** Why a job goes where it goes: the same decision again, told. */

import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Behind, RouteOut, RouteStep, RouteTrace } from '../../core/ports/operations.ts'
import type { Awaited } from './awaiting.ts'
import type { Asked, Choice } from './choice.ts'
import type { DeploymentState } from './deployment.ts'
import { type Ask, expectedMs } from './policies/policy.ts'
import { fitFor, type Route, unfitFor } from './route.ts'

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

function stepOf(job: ScheduledJob, step: Traced, choice: Choice, now: number): RouteStep {
  const { route, asked, ask, candidates, chosen, awaits } = step
  const { policy } = route
  const fit = fitFor(route[job.kind], job)
  const group = route[job.kind].all
  return {
    model: asked.model,
    policy: policy.name,
    unit: policy.unit,
    cachedAt: asked.cachedAt,
    deployments: route.deployments.map((one) => {
      const isCandidate = candidates.includes(one)
      const out = isCandidate ? null : outOf(one, job, fit, step, choice, now)
      const unfit = fit.includes(one) ? unfitFor(one, job) : null
      const score = policy.score(one, ask)
      const { ttftMs, tpotMs } = one.speed
      return {
        ...{ deployment: one.name, order: one.settings!.order, active: one.active, out },
        score: Number.isFinite(score) ? score : null,
        expectedMs: expectedMs(one, ask),
        despite: unfit === 'tags' ? null : unfit,
        behind: isCandidate && chosen !== null && one !== chosen ? behindOf(one, chosen, step) : null,
        ...{ ttftMs, tpotMs, errorRate: one.speed.errors, headroom: one.quota.headroom(now) },
        hedgeAfterMs: group.length > 1 ? one.hedgeAfterMs : null,
      }
    }),
    chosen: chosen?.name ?? null,
    ...(awaits !== null && { awaits: { deployment: awaits.state.name, inMs: awaits.inMs } }),
  }
}

function outOf(
  one: DeploymentState,
  job: ScheduledJob,
  fit: readonly DeploymentState[],
  { route, asked, candidates }: Traced,
  choice: Choice,
  now: number,
): RouteOut {
  if (!route[job.kind].all.includes(one)) return 'kind'
  if (!fit.includes(one)) {
    // Where none can by its length and abilities, only tags leave one out
    const areAllUnfit = fit.every((other) => unfitFor(other, job) !== null)
    return fit.length > 0 && areAllUnfit ? 'tags' : (unfitFor(one, job) ?? 'tags')
  }
  const why = choice.why(one, asked, now)
  if (why !== null) return why
  const first = candidates[0]?.settings?.order
  return one.speed.isAiling(now) && one.settings!.order === first ? one.speed.ailsAs : 'order'
}

/** Why the policy took the other one. */
function behindOf(one: DeploymentState, chosen: DeploymentState, { route, asked, ask }: Traced): Behind {
  const { policy } = route
  if (policy.name === 'weighted') return { by: 'draw' }
  const [own, best] = [policy.score(one, ask), policy.score(chosen, ask)]
  if (chosen.name === asked.cachedAt && own <= best) return { by: 'cache' }
  if (own !== best) {
    if (best === Infinity) return { by: 'untried' }
    return own === Infinity ? { by: 'unknown' } : { by: 'score', amount: own - best }
  }
  // The order among equals: what is expected, then chance
  const more = policy.name === 'round-robin' ? 0 : expectedMs(one, ask) - expectedMs(chosen, ask)
  if (more <= 0) return { by: 'draw' }
  return ask.bestUnitMs === 0 || policy.name === 'fastest' ? { by: 'busier' } : { by: 'wait', amount: more }
}
