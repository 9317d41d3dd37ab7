/** Which of a group's deployments answers a job now: who is left out, who comes first, and who is picked of those. */
import type { FailedAt } from '../../core/ports/coordinator.ts'
import type { DeploymentState } from './deployment.ts'
import { failedThere, neverThere } from './failed-at.ts'
import type { Ask, Policy } from './policies/policy.ts'

export type Out =
  /** It failed there, and another one may be called. */
  | 'failed_here'
  | 'drained'
  /** It asked to be left alone. */
  | 'cooling'
  | 'broken'
  | 'slots'
  | 'quota'

export interface Asked {
  /** The model that is asked for: the job's, or a fallback. */
  readonly model: string
  readonly failedAt: FailedAt
  /** As it is estimated, and the answer as it is expected. */
  readonly promptTokens: number
  readonly outputTokens: number
  /** Where the beginning of its prompt was read last; null: nowhere. */
  readonly cachedAt: string | null
  /** No longer where it failed, even if there is no other. */
  readonly isFallback: boolean
  /** Another model works that may answer in its place: all that is broken may be ejected. */
  readonly isReplaceable: boolean
}

/** How much more than the least busy one a deployment may do, and still be asked for what is in its cache. */
const CACHE_LOAD = 1.5
const CACHE_CALLS = 4
const CACHE_PACE = 1.5

/** A deployment that asked to be left alone for longer is not waited for where there is another way. */
const SOON_MS = 10_000

/** Tiers: what comes first, then what was ejected with too many others, then where the job has failed. */
const READMITTED = 1e12
const FAILED_HERE = 2e12

export class Choice {
  readonly #isDrained: (deployment: string) => boolean
  readonly #candidates: DeploymentState[] = []
  readonly #broken: DeploymentState[] = []
  #rank = Infinity

  constructor(isDrained: (deployment: string) => boolean) {
    this.#isDrained = isDrained
  }

  /** Those among which the policy chooses; valid until the next call. */
  candidates(fit: readonly DeploymentState[], asked: Asked, now: number): readonly DeploymentState[] {
    const { failedAt } = asked
    this.#candidates.length = this.#broken.length = 0
    this.#rank = Infinity
    const isBarring = failedAt.length > 0 && (asked.isFallback || fit.some((one) => !neverThere(failedAt, one.name)))
    for (const one of fit) {
      if (isBarring && (asked.isFallback ? failedThere(failedAt, one.name) : neverThere(failedAt, one.name))) continue
      if (this.#out(one, asked, now) !== null) continue
      if (!one.health.isWell && one.health.brokenSince(one.upstreamName(asked.model), now) !== null)
        this.#broken.push(one)
      else this.#add(one, asked, 0, now)
    }
    if (this.#broken.length > 0) this.#readmit(fit, asked, now)
    if (this.isWhereItFailed && this.#isElsewhereSoon(fit, asked, now)) this.#candidates.length = 0
    return this.#candidates
  }

  /** Those of `fit` that would be among the candidates, which are the last that were asked for, had they a slot. */
  full(fit: readonly DeploymentState[], asked: Asked, now: number): readonly DeploymentState[] {
    return fit.filter((one) => {
      const { active, settings, health, speed, quota } = one
      if (active < settings!.concurrent || this.#isDrained(one.name)) return false
      const upstream = one.upstreamName(asked.model)
      if (health.brokenSince(upstream, now) !== null || health.coolUntilMono(upstream) > now) return false
      if (2 * settings!.order + (speed.isAiling(now) ? 1 : 0) > this.#rank) return false
      return quota.waitMs(asked.promptTokens, asked.outputTokens, now) <= 0
    })
  }

  /** One where it has not failed works, and only has no room: its attempts are not to be used up where it failed. */
  #isElsewhereSoon(fit: readonly DeploymentState[], asked: Asked, now: number): boolean {
    return fit.some((one) => {
      if (failedThere(asked.failedAt, one.name)) return false
      const upstream = one.upstreamName(asked.model)
      if (one.health.brokenSince(upstream, now) !== null) return false
      const out = this.#out(one, asked, now)
      if (out === 'cooling') return this.isSoon(one, asked.model, now)
      return out === 'slots' || out === 'quota'
    })
  }

  /** Of those that a job could go to no more than half are ejected: those that broke last. */
  #readmit(fit: readonly DeploymentState[], asked: Asked, now: number): void {
    const { model, failedAt, isReplaceable } = asked
    if (isReplaceable) return
    const group = failedAt.length === 0 ? fit : fit.filter(({ name }) => !failedThere(failedAt, name))
    const since = (one: DeploymentState): number => one.health.brokenSince(one.upstreamName(model), now) ?? -Infinity
    const all = group.filter((one) => since(one) > -Infinity).sort((a, b) => since(b) - since(a))
    const ejected = all.slice(0, Math.floor(group.length / 2))
    for (const one of this.#broken) if (!ejected.includes(one)) this.#add(one, asked, READMITTED, now)
  }

  #add(one: DeploymentState, { failedAt }: Asked, tier: number, now: number): void {
    const failed = failedAt.length > 0 && failedThere(failedAt, one.name) ? FAILED_HERE : 0
    const rank = tier + failed + 2 * one.settings!.order + (one.speed.isAiling(now) ? 1 : 0)
    if (rank > this.#rank) return
    if (rank < this.#rank) {
      this.#rank = rank
      this.#candidates.length = 0
    }
    this.#candidates.push(one)
  }

  /** Has the job failed wherever it could go now? */
  get isWhereItFailed(): boolean {
    return this.#rank >= FAILED_HERE && this.#rank < Infinity
  }

  /** Why no call of the job starts there now, beside that it failed there or is broken; null: one may. */
  #out(one: DeploymentState, { model, promptTokens, outputTokens }: Asked, now: number): Out | null {
    const { health, active, settings, quota } = one
    if (active >= settings!.concurrent) return 'slots'
    if (!health.isWell && health.coolUntilMono(one.upstreamName(model)) > now) return 'cooling'
    if (this.#isDrained(one.name)) return 'drained'
    return quota.waitMs(promptTokens, outputTokens, now) > 0 ? 'quota' : null
  }

  /** Is one that asked to be left alone worth waiting for? */
  isSoon(one: DeploymentState, model: string, now: number): boolean {
    return one.health.coolUntilMono(one.upstreamName(model)) - now <= SOON_MS
  }

  /** Its last call ended well, as far as is known, and it may be called, when it has room. */
  works(one: DeploymentState, model: string, now: number): boolean {
    if (this.#isDrained(one.name)) return false
    const { health } = one
    if (health.isWell) return true
    const upstream = one.upstreamName(model)
    return !health.isFailing(upstream) && health.coolUntilMono(upstream) <= now
  }

  /** Why it is not among the candidates, for people and for who decides what comes then. */
  why(one: DeploymentState, asked: Asked, now: number): Out | null {
    if (one.health.brokenSince(one.upstreamName(asked.model), now) !== null) return 'broken'
    const out = this.#out(one, asked, now)
    if (out !== null) return out
    return failedThere(asked.failedAt, one.name) ? 'failed_here' : null
  }
}

/** One of the candidates, at least one. */
export function pick(candidates: readonly DeploymentState[], policy: Policy, ask: Ask, cachedAt: string | null) {
  if (candidates.length === 1) return candidates[0]
  if (cachedAt !== null && policy.followsCache) {
    const cached = candidates.find(({ name }) => name === cachedAt)
    if (cached !== undefined && isAtEase(cached, candidates, ask)) return cached
  }
  return policy.pick(candidates, ask)
}

export function isAtEase(one: DeploymentState, candidates: readonly DeploymentState[], { bestUnitMs }: Ask): boolean {
  if (one.speed.unitMs !== null && one.speed.unitMs > CACHE_PACE * bestUnitMs) return false
  let least = Infinity
  for (const { busy } of candidates) least = Math.min(least, busy)
  return one.busy <= CACHE_LOAD * least + CACHE_CALLS
}

/** Of a unit of work, at the fastest of those that are known, ms; 0: of none. */
export function bestUnitMs(candidates: readonly DeploymentState[]): number {
  let best = Infinity
  for (const { speed } of candidates) if (speed.unitMs !== null && speed.unitMs < best) best = speed.unitMs
  return best === Infinity ? 0 : best
}
