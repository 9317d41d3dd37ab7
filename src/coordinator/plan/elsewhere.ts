/** Where a job that failed could go, and where it is not to go again. */
import type { ErrorCode } from '../../core/errors.ts'
import type { JobKind } from '../../core/job.ts'
import type { FailedAt, Refused } from '../../core/ports/coordinator.ts'
import type { Choice } from './choice.ts'
import { ALWAYS, type MayAnswer } from './deciding.ts'
import type { DeploymentState } from './deployment.ts'
import type { Deployments } from './deployments.ts'
import { failedThere, neverThere, refusedFor, withFailure } from './failed-at.ts'
import type { Call, Planned } from './planned.ts'
import { fitFor, insteadFor, isLarger, isTooLong } from './route.ts'

export interface Failure {
  readonly code: ErrorCode
  /** The upstream is too busy: no call starts there before. */
  readonly retryAfterMs: number | undefined
  /** This job is not to be tried there again. */
  readonly elsewhere: boolean
  /** Its model does not take such a request; null: it may. */
  readonly refused?: Refused | null
  /** Its prompt is too long for it; a larger one of the group may take it. */
  readonly isTooLong?: boolean
}

/** Where a job that failed has not been yet. */
export interface Untried {
  /** One of them works. */
  readonly works: boolean
}

/** Failures that reflect on the deployment, not on the request. */
export const BLAMES_DEPLOYMENT: ReadonlySet<ErrorCode> = new Set([
  'provider_error',
  'provider_unreachable',
  'provider_cut',
  'provider_garbage',
  'provider_timeout',
  'provider_auth',
])

export class Elsewhere {
  readonly #deployments: Deployments
  readonly #choice: Choice

  constructor(deployments: Deployments, choice: Choice) {
    this.#deployments = deployments
    this.#choice = choice
  }

  /** Where the job has failed, with this failure. */
  failedAt(
    { job, failedAt, call }: Planned,
    { code, elsewhere, refused = null, isTooLong = false }: Failure,
  ): FailedAt {
    const { state, model } = call as Call
    if (isTooLong) {
      const names = this.#deployments.find(model)![job.kind].all.filter((one) => !isLarger(one, state))
      return names.reduce((all, { name }) => withFailure(all, name, true), failedAt)
    }
    if (code.startsWith('own_key_')) {
      const names = this.#withKeyOf(state, model, job.kind)
      return names.reduce((all, name) => withFailure(all, name, elsewhere), failedAt)
    }
    const isNoted = BLAMES_DEPLOYMENT.has(code) || elsewhere || refused !== null
    return isNoted ? withFailure(failedAt, state.name, elsewhere, refused) : failedAt
  }

  /** Where the same key of the tenant's own is sent, this one last. */
  #withKeyOf(state: DeploymentState, model: string, kind: JobKind): readonly string[] {
    const at = state.settings?.ownKeyAt ?? null
    const all = at === null ? [] : (this.#deployments.find(model)?.[kind].all ?? [])
    const others = all.filter((one) => one !== state && one.settings?.ownKeyAt === at)
    return [...others, state].map(({ name }) => name)
  }

  /** Has its group one whose context is larger than where it ran? */
  hasLarger({ job, failedAt, call }: Planned): boolean {
    const { state, model } = call as Call
    const group = this.#deployments.find(model)?.[job.kind]
    if (group === undefined || state.settings === null) return false
    return fitFor(group, job).some(
      (one) => isLarger(one, state) && !neverThere(failedAt, one.name) && !this.#deployments.isDrained(one.name),
    )
  }

  /** Is there another model for what this one refuses? */
  hasInstead({ job, failedAt }: Planned, refused: Refused): boolean {
    const route = this.#deployments.find(job.model)
    return route !== null && refusedFor(failedAt) === null && insteadFor(route.fallbacks[refused], job).length > 0
  }

  /** How long until a deployment other than where it ran may be called for the job? Null: there is no other. */
  inMs(notes: Planned, now: number, may: MayAnswer = ALWAYS): number | null {
    let least: number | null = null
    for (const { state, model } of this.#others(notes, may)) {
      const inMs = Math.max(0, state.health.coolUntilMono(state.upstreamName(model)) - now)
      least = Math.min(least ?? Infinity, inMs)
    }
    return least
  }

  /** Is there a deployment where the job has not failed, and does one such work? */
  untried(notes: Planned, now: number, may: MayAnswer = ALWAYS): Untried | null {
    const untried = this.#others(notes, may).filter(({ state }) => !failedThere(notes.failedAt, state.name))
    if (untried.length === 0) return null
    return { works: untried.some(({ state, model }) => this.#choice.works(state, model, now)) }
  }

  /** Those that may be called for the job, when they have room, beside the one where it ran. */
  #others({ job, failedAt, call }: Planned, may: MayAnswer): ReadonlyArray<{ state: DeploymentState; model: string }> {
    const here = (call as Call).state
    const route = this.#deployments.find(job.model)
    if (route === null) return []
    const reason = refusedFor(failedAt)
    const { fallbacks } = route
    const refused = reason === null ? [] : insteadFor(fallbacks[reason], job)
    const others = insteadFor(fallbacks.general, job)
    const instead = (refused.length > 0 ? refused : others).filter((one) => may(one) !== 'never')
    const models = [...(refused.length > 0 ? [] : [job.model]), ...instead.map(({ model }) => model)]
    return models.flatMap((model) => {
      const group = this.#deployments.find(model)?.[job.kind]
      if (group === undefined || (model !== job.model && isTooLong(group, job))) return []
      return fitFor(group, job)
        .filter((one) => one !== here && !neverThere(failedAt, one.name) && !this.#deployments.isDrained(one.name))
        .map((state) => ({ state, model }))
    })
  }
}
