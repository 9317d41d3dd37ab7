/** Where a job goes now: to a deployment of its own model, or of one that answers in its place. Nothing is taken. */
import type { FailedAt, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Affinities } from './affinity.ts'
import { type Asked, bestUnitMs, type Choice, pick } from './choice.ts'
import type { DeploymentState } from './deployment.ts'
import { drawOf } from './draw.ts'
import { failedThere, neverThere, refusedFor } from './failed-at.ts'
import type { Ask } from './policies/policy.ts'
import { fitFor, isTooLong, type Route } from './route.ts'
import { workOf } from './speed.ts'
import type { Traced } from './trace.ts'

export interface Chosen {
  readonly state: DeploymentState
  readonly route: Route
  /** That is asked for. */
  readonly model: string
}

export class Deciding {
  readonly #choice: Choice
  readonly #affinities: Affinities
  readonly #find: (model: string) => Route | null

  constructor(choice: Choice, affinities: Affinities, find: (model: string) => Route | null) {
    this.#choice = choice
    this.#affinities = affinities
    this.#find = find
  }

  /** The job's own model, or one that answers in its place. `each`: what was looked at, in turn. */
  decide(
    route: Route,
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
    each: (step: Traced) => void,
  ): Chosen | null {
    const reason = refusedFor(failedAt) ?? (isTooLong(route[job.kind], job) ? 'contextWindow' : null)
    const { fallbacks } = route
    const isRefused = reason !== null && fallbacks[reason].length > 0
    if (!isRefused) {
      const isReplaceable = !isWell(route[job.kind].all) && this.#isReplaced(fallbacks.general, job, failedAt, now)
      const own = this.#look(route, job.model, job, failedAt, outputTokens, now, false, isReplaceable)
      const isLast = own.chosen !== null && !this.#choice.isWhereItFailed
      if (isLast || fallbacks.general.length === 0 || !this.#isOut(own, job, now)) {
        each(own)
        return own.chosen === null ? null : { state: own.chosen, route, model: job.model }
      }
      const candidates = [...own.candidates]
      each({ ...own, candidates, chosen: null })
      const other = this.#instead(fallbacks.general, job, failedAt, outputTokens, now, each)
      if (other !== null || own.chosen === null) return other
      each({ ...own, candidates })
      return { state: own.chosen, route, model: job.model }
    }
    return this.#instead(fallbacks[reason], job, failedAt, outputTokens, now, each)
  }

  /** Does one of these models work? That it is busy doesn't matter: it is waited for. */
  #isReplaced(models: readonly string[], job: ScheduledJob, failedAt: FailedAt, now: number): boolean {
    return models.some((model) => {
      const group = this.#find(model)?.[job.kind]
      if (group === undefined || isTooLong(group, job)) return false
      return fitFor(group, job).some((one) => !failedThere(failedAt, one.name) && this.#choice.works(one, model, now))
    })
  }

  #instead(
    models: readonly string[],
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
    each: (step: Traced) => void,
  ): Chosen | null {
    for (const model of models) {
      const route = this.#find(model)
      if (route === null || isTooLong(route[job.kind], job)) continue
      const step = this.#look(route, model, job, failedAt, outputTokens, now, true, false)
      each(step)
      if (step.chosen !== null) return { state: step.chosen, route, model }
    }
    return null
  }

  #look(
    route: Route,
    model: string,
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
    isFallback: boolean,
    isReplaceable: boolean,
  ): Traced {
    const group = route[job.kind]
    const { promptTokens } = job
    const cachedAt = job.affinity && route.policy.followsCache ? this.#affinities.get(job.affinity) : null
    const asked: Asked = { model, failedAt, tokens: promptTokens + outputTokens, cachedAt, isFallback, isReplaceable }
    const candidates = this.#choice.candidates(fitFor(group, job), asked, now)
    const work = workOf(promptTokens, outputTokens)
    const best = bestUnitMs(candidates)
    const ask: Ask = { draw: drawOf(job.id), promptTokens, outputTokens, work, now, turn: route.turn, bestUnitMs: best }
    const chosen = candidates.length === 0 ? null : pick(candidates, route.policy, ask, cachedAt)
    return { route, asked, ask, candidates, chosen }
  }

  /** Nothing of its model works for the job: that it is busy would be a reason to wait. */
  #isOut({ route, asked }: Traced, job: ScheduledJob, now: number): boolean {
    return fitFor(route[job.kind], job).every((one) => {
      const why = this.#choice.why(one, asked, now)
      return why === 'failed_here' || why === 'drained' || why === 'broken' || neverThere(asked.failedAt, one.name)
    })
  }
}

const isWell = (states: readonly DeploymentState[]): boolean => states.every(({ health }) => health.isWell)
