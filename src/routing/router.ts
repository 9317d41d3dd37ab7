/**
 * Which deployment answers a job. Slots are taken when the job is leased (headroom), so a job that has no slot waits in
 * line and is not failed with somebody's 429; they come free with `release`, which wakes the queue.
 */
import type { Clock } from '../core/clock.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Emit } from '../core/facts.ts'
import type { JobId, JobKind } from '../core/job.ts'
import type { ScheduledJob } from '../core/ports/coordinator.ts'
import type { Deployment, Provider } from '../core/ports/provider.ts'
import type { HeadroomRefusal } from '../core/ports/scheduler.ts'

export interface ModelRoute {
  /** What clients ask for; a trailing "*" stands for any ending. */
  readonly name: string
  readonly pool: string
  readonly kinds: readonly JobKind[]
  readonly deployments: readonly Deployment[]
}

export interface ReleaseReport {
  /** Null: the attempt ended well, or was stopped by us. */
  readonly code: ErrorCode | null
  readonly stopped?: boolean
  /** The upstream is too busy: no call starts there before. */
  readonly retryAfterMs?: number | undefined
  /** This job is not to be tried there again. */
  readonly elsewhere?: boolean
}

export interface Router {
  resolve(model: string): ModelRoute | null
  models(): readonly ModelRoute[]
  /**
   * Other models from now on. What has a slot keeps its deployment to its end; a deployment of the same name keeps its
   * count of calls, and its health too if its provider is the same. Jobs whose model is gone wait for it.
   */
  replace(routes: readonly ModelRoute[]): void
  /** Does a job run on it? */
  isInUse(provider: Provider): boolean
  readonly headroom: (job: ScheduledJob) => HeadroomRefusal | null
  /** The deployment whose slot `headroom` took for this job. */
  claimed(job: JobId): Deployment
  /** When the job was accepted, by the monotonic clock; of a job that has a slot. */
  acceptedMono(job: JobId): number
  /** Of a job that has a slot: how long until another deployment may be called for it? Null: there is no other. */
  elsewhereInMs(job: JobId, model: string): number | null
  /** Gives the slot back and learns from how it went. Returns how long no call starts there. Safe to repeat. */
  release(job: JobId, report: ReleaseReport): number
  /** The job is over: forgets where it failed. */
  forget(job: JobId): void
}

interface Slot {
  deployment: Deployment
  active: number
  /** By the upstream's name of the model: one deployment may serve many. Of those without a failure none is kept. */
  readonly health: Map<string, Health>
}

interface Health {
  /** No call starts before. */
  coolUntilMono: number
  /** Times in a row that it was found too busy. */
  refusals: number
  /** The job that found it so last. */
  refusedTo: JobId | null
  /** Failures in a row; a deployment that fails again and again is used only where there is no other. */
  failures: number
}

/** A deployment that is too busy is left alone for this, doubled while it still is; its retry-after may be longer. */
const MIN_COOL_MS = 1_000
/** By a 429. Of other refusals one request may be the cause, so they close a deployment to all others for less. */
const MAX_COOL_MS = 60_000
const MAX_COOL_FAILED_MS = 15_000
/** Waits from here on are worth a line in the log. */
const TOLD_COOL_MS = 5_000
/**
 * Jobs whose failed places are remembered: those that are canceled between two attempts are never forgotten by name.
 */
const MAX_REMEMBERED = 10_000
/** Models of one deployment whose waits and failures are remembered. */
const MAX_UNWELL = 1_000
const EJECT_AFTER_FAILURES = 5
/** Taken out of the configuration while the job waited: a mistake, most often, which a reload puts right. */
const NO_MODEL: HeadroomRefusal = { scope: 'model' }
/** Failures that tell something about the deployment, not about the request. */
const BLAMES_DEPLOYMENT: ReadonlySet<ErrorCode> = new Set([
  'provider_error',
  'provider_unreachable',
  'provider_cut',
  'provider_garbage',
  'provider_timeout',
  'provider_auth',
])

export function createRouter(
  routes: readonly ModelRoute[],
  clock: Clock,
  wake: () => void,
  emit: Emit = () => {},
): Router {
  let models: readonly ModelRoute[] = []
  let exact = new Map<string, ModelRoute>()
  let patterns: readonly ModelRoute[] = []
  let slots = new Map<Deployment, Slot>()
  const claims = new Map<JobId, { readonly slot: Slot; readonly deployment: Deployment; readonly model: string }>()
  const accepted = new Map<JobId, number>()
  /** Where a job's earlier attempts failed: tried again only when there is nowhere else; `true`: not even then. */
  const failedAt = new Map<JobId, Map<Slot, boolean>>()
  const resolved = new Map<string, ModelRoute | null>()

  replace(routes)

  function replace(routes: readonly ModelRoute[]): void {
    const before = new Map([...slots.values()].map((slot) => [slot.deployment.name, slot]))
    models = routes
    exact = new Map(routes.filter((r) => !r.name.endsWith('*')).map((r) => [r.name, r]))
    patterns = routes.filter((r) => r.name.endsWith('*')).sort((a, b) => b.name.length - a.name.length)
    resolved.clear()
    slots = new Map(
      routes
        .flatMap((r) => r.deployments)
        .map((deployment) => [deployment, slotOf(deployment, before.get(deployment.name))]),
    )
  }

  function resolve(model: string): ModelRoute | null {
    const route = exact.get(model) ?? patterns.find((p) => model.startsWith(p.name.slice(0, -1))) ?? null
    if (resolved.size > 10_000) resolved.clear()
    if (route) resolved.set(model, route)
    return route
  }

  const headroom = (job: ScheduledJob): HeadroomRefusal | null => {
    const route = resolved.get(job.model) ?? resolve(job.model)
    if (!route) return NO_MODEL
    const now = clock.monoMs()
    const failed = failedAt.get(job.id)
    let best: Slot | null = null
    let freeAt = Infinity
    let isBarred = false
    const barred = failed === undefined ? null : barredFrom(route, failed)
    for (const deployment of route.deployments) {
      const slot = slots.get(deployment)!
      if (barred?.has(slot) === true) {
        isBarred = true
        continue
      }
      const { coolUntilMono } = healthOf(slot, job.model)
      if (coolUntilMono > now) {
        freeAt = Math.min(freeAt, coolUntilMono)
        continue
      }
      if (slot.active >= deployment.concurrent) continue
      if (best === null || better(slot, best, job.model, failed)) best = slot
    }
    if (best === null) {
      const scope = isBarred ? 'job' : 'model'
      return freeAt === Infinity ? { scope } : { scope, retryAfterMs: freeAt - now }
    }
    best.active++
    claims.set(job.id, { slot: best, deployment: best.deployment, model: job.model })
    accepted.set(job.id, job.acceptedMono)
    return null
  }

  /** The configuration may have left nothing else. */
  function barredFrom(route: ModelRoute, failed: ReadonlyMap<Slot, boolean>): ReadonlySet<Slot> | null {
    const barred = route.deployments.map((d) => slots.get(d)!).filter((slot) => failed.get(slot) === true)
    return barred.length > 0 && barred.length < route.deployments.length ? new Set(barred) : null
  }

  function remember(job: JobId, slot: Slot, never: boolean): void {
    const failed = failedAt.get(job) ?? new Map<Slot, boolean>()
    failedAt.delete(job)
    failedAt.set(job, failed.set(slot, never || failed.get(slot) === true))
    if (failedAt.size > MAX_REMEMBERED) for (const oldest of failedAt.keys()) return void failedAt.delete(oldest)
  }

  /**
   * Calls that were under way together find out together: only the first of them makes the wait longer. So does a job
   * that is refused again, but only by a 429: of another failure the job itself may be the cause.
   */
  function cool(slot: Slot, model: string, job: JobId, code: ErrorCode, askedMs: number): void {
    const now = clock.monoMs()
    const health = ownHealth(slot, model)
    const isLimit = code === 'provider_rate_limited'
    if (health.coolUntilMono <= now && (isLimit || health.refusedTo !== job)) health.refusals++
    health.refusedTo = job
    const guessMs = MIN_COOL_MS * 2 ** Math.min(Math.max(health.refusals - 1, 0), 30)
    const ms = Math.max(askedMs, Math.min(isLimit ? MAX_COOL_MS : MAX_COOL_FAILED_MS, guessMs))
    if (now + ms > health.coolUntilMono && ms >= TOLD_COOL_MS)
      emit({ type: 'deployment-cooled', deployment: slot.deployment.name, model, code, ms })
    health.coolUntilMono = Math.max(health.coolUntilMono, now + ms)
    clock.after(ms + 1, wake)
  }

  return {
    resolve,
    models: () => models,
    replace(routes) {
      replace(routes)
      wake()
    },
    isInUse(provider) {
      for (const { deployment } of claims.values()) if (deployment.provider === provider) return true
      return false
    },
    headroom,
    claimed(job) {
      const claim = claims.get(job)
      if (!claim) throw new Error(`no deployment was claimed for ${job}`)
      return claim.deployment
    },
    acceptedMono: (job) => accepted.get(job) ?? clock.monoMs(),
    elsewhereInMs(job, model) {
      const here = claims.get(job)?.slot
      const failed = failedAt.get(job)
      const others = (resolve(model)?.deployments ?? [])
        .map((d) => slots.get(d)!)
        .filter((slot) => slot !== here && failed?.get(slot) !== true)
      if (others.length === 0) return null
      const freeAtMono = Math.min(...others.map((slot) => healthOf(slot, model).coolUntilMono))
      return Math.max(0, freeAtMono - clock.monoMs())
    },
    release(job, report) {
      const claim = claims.get(job)
      if (!claim) return 0
      const { slot, model } = claim
      claims.delete(job)
      accepted.delete(job)
      const wasFull = slot.active >= slot.deployment.concurrent
      slot.active--
      if (report.code === null && report.stopped !== true) slot.health.delete(healthKey(slot, model))
      else if (report.code !== null) {
        if (report.code === 'provider_rate_limited' || report.retryAfterMs !== undefined)
          cool(slot, model, job, report.code, report.retryAfterMs ?? 0)
        const isBlamed = BLAMES_DEPLOYMENT.has(report.code)
        if (isBlamed) ownHealth(slot, model).failures++
        if (isBlamed || report.elsewhere === true) remember(job, slot, report.elsewhere === true)
      }
      if (wasFull) wake()
      return Math.max(0, healthOf(slot, model).coolUntilMono - clock.monoMs())
    },
    forget: (job) => void failedAt.delete(job),
  }
}

/** A new deployment in the place of another of its name, whose calls still count. */
function slotOf(deployment: Deployment, before: Slot | undefined): Slot {
  if (before === undefined) return { deployment, active: 0, health: new Map() }
  if (before.deployment.provider !== deployment.provider) before.health.clear()
  before.deployment = deployment
  return before
}

const WELL: Readonly<Health> = { coolUntilMono: 0, refusals: 0, refusedTo: null, failures: 0 }

const healthKey = (slot: Slot, model: string): string => slot.deployment.upstreamModel ?? model

const healthOf = (slot: Slot, model: string): Readonly<Health> =>
  slot.health.size === 0 ? WELL : (slot.health.get(healthKey(slot, model)) ?? WELL)

/** To be changed. Clients choose the names behind a pattern, so the oldest is forgotten. */
function ownHealth(slot: Slot, model: string): Health {
  const { health } = slot
  const key = healthKey(slot, model)
  const own = health.get(key) ?? { ...WELL }
  health.delete(key)
  health.set(key, own)
  const [oldest] = health.keys()
  if (health.size > MAX_UNWELL && oldest !== undefined) health.delete(oldest)
  return own
}

/** Where this job has not failed, then what works, then the lower order, then the less loaded. */
function better(a: Slot, b: Slot, model: string, failed: ReadonlyMap<Slot, boolean> | undefined): boolean {
  const failedA = failed?.has(a) ?? false
  const failedB = failed?.has(b) ?? false
  if (failedA !== failedB) return failedB
  const sickA = healthOf(a, model).failures >= EJECT_AFTER_FAILURES
  const sickB = healthOf(b, model).failures >= EJECT_AFTER_FAILURES
  if (sickA !== sickB) return sickB
  if (a.deployment.order !== b.deployment.order) return a.deployment.order < b.deployment.order
  return load(a) < load(b)
}

const load = (slot: Slot): number =>
  slot.deployment.concurrent === Infinity ? slot.active / 1e6 : slot.active / slot.deployment.concurrent
