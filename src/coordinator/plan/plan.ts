/**
 * Which deployment answers a job. A slot is taken when the job is leased, so a job that has none waits in line and is
 * not failed with somebody's 429. Pure: time is an argument.
 */
import type { ErrorCode } from '../../core/errors.ts'
import type { JobKind } from '../../core/job.ts'
import { ModelIndex } from '../../core/model-index.ts'
import type { FailedAt, PlanDeployment, PlanModel, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { DeploymentStatus } from '../../core/ports/operations.ts'
import type { HeadroomRefusal } from '../scheduler/port.ts'
import { type Timed, Timers } from '../scheduler/timers.ts'
import { failedThere, neverThere, withFailure } from './failed-at.ts'
import { HealthOf } from './health.ts'

export interface Failure {
  readonly code: ErrorCode
  /** The upstream is too busy: no call starts there before. */
  readonly retryAfterMs: number | undefined
  /** This job is not to be tried there again. */
  readonly elsewhere: boolean
}

/** Calls on one deployment, now. */
interface DeploymentState {
  /** Null: it is no longer configured, but some of its calls still run. */
  deployment: PlanDeployment | null
  active: number
  readonly health: HealthOf
}

/** A model's deployments by what they can do. */
interface Route extends Readonly<Record<JobKind, readonly DeploymentState[]>> {
  readonly name: string
}

/** Removed from the configuration while the job waited: usually a mistake, which a reload corrects. */
const NO_MODEL: HeadroomRefusal = { scope: 'model' }
const FULL: HeadroomRefusal = { scope: 'model' }
/** This job can't use what is free; others may. */
const NOT_THIS_ONE: HeadroomRefusal = { scope: 'job' }

/** Failures that reflect on the deployment, not on the request. */
const BLAMES_DEPLOYMENT: ReadonlySet<ErrorCode> = new Set([
  'provider_error',
  'provider_unreachable',
  'provider_cut',
  'provider_garbage',
  'provider_timeout',
  'provider_auth',
])

export class Plan {
  #index = new ModelIndex<Route>([])
  #states = new Map<string, DeploymentState>()
  #models = 0
  /** Deployments that are left alone, by when that ends. */
  readonly #cooling = new Timers<Timed>()
  #roomCame = false
  readonly #opened = (): void => {
    this.#roomCame = true
  }

  readonly #isDrained: (deployment: string) => boolean

  constructor(models: readonly PlanModel[], isDrained: (deployment: string) => boolean = () => false) {
    this.#isDrained = isDrained
    this.configure(models)
  }

  /** A deployment of the same name keeps its count of calls and, unless its revision has changed, its health. */
  configure(models: readonly PlanModel[]): void {
    const before = this.#states
    this.#states = new Map()
    const routes = models.map(({ name, deployments }): Route => {
      const states = deployments.map((deployment) => this.#stateOf(deployment, before.get(deployment.name)))
      return { name, chat: states.filter(serves('chat')), embedding: states.filter(serves('embedding')) }
    })
    for (const [name, state] of before) {
      if (this.#states.has(name)) continue
      state.health.clear()
      state.deployment = null
      if (state.active > 0) this.#states.set(name, state)
    }
    this.#index = new ModelIndex(routes)
    this.#models = routes.length
    this.#roomCame = true
  }

  #stateOf(deployment: PlanDeployment, known: DeploymentState | undefined): DeploymentState {
    const state = known ?? { deployment, active: 0, health: new HealthOf(this.#cooling, this.#opened) }
    if (state.deployment?.revision !== deployment.revision) state.health.clear()
    state.deployment = deployment
    this.#states.set(deployment.name, state)
    return state
  }

  /** Takes a slot: the deployment's name. Every claim must be released, once. */
  claim(job: ScheduledJob, failedAt: FailedAt, now: number): string | HeadroomRefusal {
    const route = this.#index.find(job.model)
    if (route === null) return NO_MODEL
    const able = route[job.kind]
    const barred = barredOf(able, failedAt)
    let best: DeploymentState | null = null
    for (const state of able) {
      if (barred.includes(state)) continue
      if (state.health.coolUntilMono(upstreamName(state, job.model)) > now) continue
      if (state.active >= state.deployment!.concurrent || this.#isDrained(nameOf(state))) continue
      if (best === null || isBetter(state, best, job.model, failedAt)) best = state
    }
    if (best === null) return barred.length > 0 ? NOT_THIS_ONE : FULL
    best.active++
    return nameOf(best)
  }

  /** Counts a call that runs already, even if its deployment has no room for it. */
  adopt(deployment: string): void {
    const state = this.#states.get(deployment) ?? {
      deployment: null,
      active: 0,
      health: new HealthOf(this.#cooling, this.#opened),
    }
    this.#states.set(deployment, state)
    state.active++
  }

  release(deployment: string): void {
    const state = this.#states.get(deployment)!
    if (state.active-- >= (state.deployment?.concurrent ?? Infinity)) this.#roomCame = true
    if (state.active === 0 && state.deployment === null) this.#states.delete(deployment)
  }

  /** Learns from a call that ended well. */
  answered({ model }: ScheduledJob, deployment: string, now: number): void {
    const state = this.#states.get(deployment)
    if (state !== undefined && !state.health.isWell()) state.health.answered(upstreamName(state, model), now)
  }

  /** Learns from one that failed. Returns where the job failed now, and how long the deployment is newly left alone. */
  failed(
    { id, model }: ScheduledJob,
    deployment: string,
    failedAt: FailedAt,
    { code, retryAfterMs, elsewhere }: Failure,
    now: number,
  ): { readonly failedAt: FailedAt; readonly coolingMs: number | null } {
    const state = this.#states.get(deployment)
    const isBlamed = BLAMES_DEPLOYMENT.has(code)
    let coolingMs: number | null = null
    if (state?.deployment != null) {
      const upstream = upstreamName(state, model)
      if (code === 'provider_rate_limited' || (retryAfterMs !== undefined && isUpstreams(code)))
        coolingMs = state.health.cool(upstream, id, code, retryAfterMs ?? 0, now)
      if (isBlamed) state.health.failed(upstream)
    }
    return { coolingMs, failedAt: isBlamed || elsewhere ? withFailure(failedAt, deployment, elsewhere) : failedAt }
  }

  /** How long no call starts there. */
  coolsForMs(deployment: string, model: string, now: number): number {
    const state = this.#states.get(deployment)
    return state === undefined ? 0 : Math.max(0, state.health.coolUntilMono(upstreamName(state, model)) - now)
  }

  /** How long until a deployment other than this one may be called for the job? Null: there is no other. */
  elsewhereInMs({ kind, model }: ScheduledJob, here: string, failedAt: FailedAt, now: number): number | null {
    const others = (this.#index.find(model)?.[kind] ?? []).filter(
      (state) => nameOf(state) !== here && !neverThere(failedAt, nameOf(state)) && !this.#isDrained(nameOf(state)),
    )
    if (others.length === 0) return null
    const freeAtMono = Math.min(...others.map((state) => state.health.coolUntilMono(upstreamName(state, model))))
    return Math.max(0, freeAtMono - now)
  }

  /** When the next deployment that was left alone is open again. */
  nextAt(): number {
    return this.#cooling.next()
  }

  tick(now: number): void {
    while (this.#cooling.shift(now) !== null) this.#roomCame = true
  }

  /** Has room come free since the last look? */
  takeRoom(): boolean {
    const came = this.#roomCame
    this.#roomCame = false
    return came
  }

  /** All names, those of models included that are patterns. */
  get size(): { readonly models: number; readonly deployments: number } {
    return { models: this.#models, deployments: this.#states.size }
  }

  /** Calls like this job's that could start now. */
  free({ kind, model }: ScheduledJob, now: number): number {
    let free = 0
    for (const state of this.#index.find(model)?.[kind] ?? [])
      if (!this.#isDrained(nameOf(state)) && state.health.coolUntilMono(upstreamName(state, model)) <= now)
        free += Math.max(0, state.deployment!.concurrent - state.active)
    return free
  }

  /** The only deployment that answers this model; null: there is none, or a choice. */
  only(model: string): string | null {
    const route = this.#index.find(model)
    if (route === null) return null
    const names = new Set([...route.chat, ...route.embedding].map(nameOf))
    return names.size === 1 ? [...names][0] : null
  }

  status(now: number): readonly DeploymentStatus[] {
    return [...this.#states].map(([name, { deployment, active, health }]) => ({
      deployment: name,
      active,
      concurrent: deployment?.concurrent ?? 0,
      isDrained: this.#isDrained(name),
      unwell: health.status(now),
    }))
  }
}

const isUpstreams = (code: ErrorCode): boolean => code === 'overloaded' || code.startsWith('provider_')

const nameOf = (state: DeploymentState): string => state.deployment!.name

const serves =
  (kind: JobKind) =>
  ({ deployment }: DeploymentState): boolean =>
    deployment!.kinds.includes(kind)

const NONE: readonly DeploymentState[] = []

/** Where a job must not go; nowhere, if the configuration has left nothing else. */
function barredOf(able: readonly DeploymentState[], failedAt: FailedAt): readonly DeploymentState[] {
  if (failedAt.length === 0) return NONE
  const barred = able.filter((state) => neverThere(failedAt, nameOf(state)))
  return barred.length < able.length ? barred : NONE
}

const upstreamName = ({ deployment }: DeploymentState, model: string): string => deployment?.upstreamModel ?? model

/** Where this job has not failed, then what works, then the lower order, then the less loaded. */
function isBetter(a: DeploymentState, b: DeploymentState, model: string, failedAt: FailedAt): boolean {
  const failedA = failedThere(failedAt, nameOf(a))
  const failedB = failedThere(failedAt, nameOf(b))
  if (failedA !== failedB) return failedB
  const sickA = a.health.isSick(upstreamName(a, model))
  const sickB = b.health.isSick(upstreamName(b, model))
  if (sickA !== sickB) return sickB
  if (a.deployment!.order !== b.deployment!.order) return a.deployment!.order < b.deployment!.order
  return load(a) < load(b)
}

const load = ({ deployment, active }: DeploymentState): number =>
  deployment!.concurrent === Infinity ? active / 1e6 : active / deployment!.concurrent
