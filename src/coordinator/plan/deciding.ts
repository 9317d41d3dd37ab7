/** Where a job goes now: to a deployment of its own model, or of one that answers in its place. Nothing is taken. */
import type { Instead } from '../../core/job.ts'
import type { FailedAt, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Affinities } from './affinity.ts'
import { worthAwaiting } from './awaiting.ts'
import { type Asked, bestUnitMs, type Choice, pick } from './choice.ts'
import type { DeploymentState } from './deployment.ts'
import { drawOf } from './draw.ts'
import { failedThere, neverThere } from './failed-at.ts'
import type { Ask } from './policies/policy.ts'
import { fitFor, insteadFor, isTooLong, type Route, reasonOf } from './route.ts'
import { workOf } from './speed.ts'
import type { Traced } from './trace.ts'

export interface Chosen {
  readonly state: DeploymentState
  readonly route: Route
  /** That is asked for. */
  readonly model: string
}

/** May this one answer in a job's place: has it room there, by its limits and budgets, or will it have? */
export type MayAnswer = (instead: Instead) => 'yes' | 'later' | 'never'
export const ALWAYS: MayAnswer = () => 'yes'

export class Deciding {
  readonly #choice: Choice
  readonly #affinities: Affinities
  readonly #find: (model: string) => Route | null

  constructor(choice: Choice, affinities: Affinities, find: (model: string) => Route | null) {
    this.#choice = choice
    this.#affinities = affinities
    this.#find = find
  }

  /**
   * The job's own model, or one that answers in its place. `may`: asked before that one is chosen. `each`: what was
   * looked at, in turn.
   */
  decide(
    route: Route,
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
    may: MayAnswer,
    each: (step: Traced) => void,
  ): Chosen | null {
    const reason = reasonOf(route, job, failedAt)
    const { fallbacks } = route
    const refused = reason === null ? NONE : insteadFor(fallbacks[reason], job)
    if (refused.length > 0) return chosenOf(this.#instead(refused, job, failedAt, outputTokens, now, may, each))
    const others = insteadFor(fallbacks.general, job)
    const isReplaceable = others.length > 0 && this.#areReplaced(route, others, job, failedAt, now)
    const own = this.#look(route, job.model, job, failedAt, outputTokens, now, null, isReplaceable)
    const isElsewhere = own.chosen !== null && !this.#choice.isWhereItFailed
    if (isElsewhere || others.length === 0 || !this.#isOut(own, job, now)) return last(own, each)
    each({ ...own, candidates: [...own.candidates], chosen: null })
    const other = this.#instead(others, job, failedAt, outputTokens, now, may, each)
    if (other !== 'none') return chosenOf(other)
    return last(this.#look(route, job.model, job, failedAt, outputTokens, now, null, false), each)
  }

  /** One that could be called at once beside where the job runs, which is in `failedAt`, too. Nothing is taken. */
  beside(
    route: Route,
    model: string,
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
  ): DeploymentState | null {
    return this.#look(route, model, job, failedAt, outputTokens, now, { model }, false).chosen
  }

  /** Is something of the route broken, and does one of these models work? If it is busy, it is waited for. */
  #areReplaced(route: Route, others: readonly Instead[], job: ScheduledJob, failedAt: FailedAt, now: number): boolean {
    if (route[job.kind].all.every(({ health }) => health.isWell)) return false
    return others.some(({ model }) => {
      const group = this.#find(model)?.[job.kind]
      if (group === undefined || isTooLong(group, job)) return false
      return fitFor(group, job).some((one) => !failedThere(failedAt, one.name) && this.#choice.works(one, model, now))
    })
  }

  /** `later`: one of them is waited for. */
  #instead(
    others: readonly Instead[],
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
    may: MayAnswer,
    each: (step: Traced) => void,
  ): Chosen | 'later' | 'none' {
    let found: 'later' | 'none' = 'none'
    for (const other of others) {
      const { model } = other
      const route = this.#find(model)
      if (route === null || isTooLong(route[job.kind], job)) continue
      const step = this.#look(route, model, job, failedAt, outputTokens, now, other, false)
      each(step)
      if (step.chosen === null) {
        if (!this.#isOut(step, job, now)) found = 'later'
        continue
      }
      const answer = may(other)
      if (answer === 'yes') return { state: step.chosen, route, model }
      if (answer === 'later') found = 'later'
    }
    return found
  }

  #look(
    route: Route,
    model: string,
    job: ScheduledJob,
    failedAt: FailedAt,
    outputTokens: number,
    now: number,
    instead: Instead | null,
    isReplaceable: boolean,
  ): Traced {
    const isFallback = instead !== null
    const group = route[job.kind]
    const { promptTokens } = job
    const cachedAt = job.affinity && route.policy.followsCache ? this.#affinities.get(job.affinity) : null
    const asked: Asked = { model, failedAt, promptTokens, outputTokens, cachedAt, isFallback, isReplaceable }
    const fit = fitFor(group, job)
    const candidates = this.#choice.candidates(fit, asked, now)
    const work = workOf(promptTokens, outputTokens)
    const best = bestUnitMs(candidates)
    const ask: Ask = { draw: drawOf(job.id), promptTokens, outputTokens, work, now, turn: route.turn, bestUnitMs: best }
    const step = { route, asked, ask, candidates }
    if (candidates.length === 0) return { ...step, chosen: null, awaits: null }
    const chosen = pick(candidates, route.policy, ask, cachedAt)
    const mayAwait = route.policy.awaits && candidates.length < fit.length && failedAt.length === 0 && !isFallback
    const awaits = mayAwait ? worthAwaiting(chosen, this.#choice.full(fit, asked, now), job, ask) : null
    return { ...step, chosen: awaits === null ? chosen : null, awaits }
  }

  /** Nothing of its model works for the job: that it is busy would be a reason to wait. */
  #isOut({ route, asked }: Traced, job: ScheduledJob, now: number): boolean {
    return fitFor(route[job.kind], job).every((one) => {
      const why = this.#choice.why(one, asked, now)
      if (why === 'cooling') return !this.#choice.isSoon(one, asked.model, now)
      return why === 'failed_here' || why === 'drained' || why === 'broken' || neverThere(asked.failedAt, one.name)
    })
  }
}

const NONE: readonly Instead[] = []

const chosenOf = (found: Chosen | 'later' | 'none'): Chosen | null => (typeof found === 'string' ? null : found)

/** Its own model, in the end: one of its deployments, or none. */
function last(own: Traced, each: (step: Traced) => void): Chosen | null {
  each(own)
  return own.chosen === null ? null : { state: own.chosen, route: own.route, model: own.asked.model }
}
