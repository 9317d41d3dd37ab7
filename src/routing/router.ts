/**
 * Which deployment answers a job. Slots are taken when the job is leased (headroom), so a job that has no slot waits in
 * line and is not failed with somebody's 429; they come free with `release`, which wakes the queue.
 */
import type { Clock } from '../core/clock.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { JobId, JobKind } from '../core/job.ts'
import type { Deployment, Headroom, HeadroomRefusal, ScheduledJob } from '../core/ports.ts'

export interface ModelRoute {
  /** What clients ask for; a trailing "*" stands for any ending. */
  readonly name: string
  readonly pool: string
  readonly kinds: readonly JobKind[]
  readonly deployments: readonly Deployment[]
}

export interface ReleaseReport {
  /** Null: the attempt ended well, or was canceled. */
  readonly code: ErrorCode | null
  readonly retryAfterMs?: number
}

export interface Router {
  resolve(model: string): ModelRoute | null
  models(): readonly ModelRoute[]
  readonly headroom: Headroom
  /** The deployment whose slot `headroom` took for this job. */
  claimed(job: JobId): Deployment
  /** Gives the slot back and learns from how it went. Safe to repeat. */
  release(job: JobId, report: ReleaseReport): void
  /** The job is over: forgets where it failed. */
  forget(job: JobId): void
  /** Deployments with their active calls, for people. */
  status(): ReadonlyArray<{ readonly name: string; readonly active: number; readonly cooling: boolean }>
}

interface Slot {
  readonly deployment: Deployment
  active: number
  /** Monotonic ms; no call starts before. */
  coolUntil: number
  /** Failures in a row; a deployment that fails again and again is used only where there is no other. */
  failures: number
}

const RATE_LIMIT_COOL_MS = 1_000
const EJECT_AFTER_FAILURES = 5
/** What says something of the deployment, not of the request. */
const BLAMES_DEPLOYMENT: ReadonlySet<ErrorCode> = new Set([
  'provider_error',
  'provider_unreachable',
  'provider_cut',
  'provider_garbage',
  'provider_timeout',
  'provider_auth',
])

export function createRouter(routes: readonly ModelRoute[], clock: Clock, wake: () => void): Router {
  const exact = new Map(routes.filter((r) => !r.name.endsWith('*')).map((r) => [r.name, r]))
  const patterns = routes.filter((r) => r.name.endsWith('*')).sort((a, b) => b.name.length - a.name.length)
  const slots = new Map<Deployment, Slot>()
  for (const route of routes)
    for (const deployment of route.deployments)
      slots.set(deployment, { deployment, active: 0, coolUntil: 0, failures: 0 })
  const claims = new Map<JobId, Slot>()
  /** Where a job's earlier attempts failed: tried again only when there is nowhere else. */
  const failedAt = new Map<JobId, Set<Slot>>()
  const resolved = new Map<string, ModelRoute | null>()

  function resolve(model: string): ModelRoute | null {
    const route = exact.get(model) ?? patterns.find((p) => model.startsWith(p.name.slice(0, -1))) ?? null
    if (resolved.size > 10_000) resolved.clear()
    if (route) resolved.set(model, route)
    return route
  }

  const headroom: Headroom = (job: ScheduledJob) => {
    const route = resolved.get(job.model) ?? resolve(job.model)
    // The model was taken out of the configuration while the job waited
    if (!route) return { scope: 'model', retryAfterMs: 60_000 } satisfies HeadroomRefusal
    const now = clock.monoMs()
    const failed = failedAt.get(job.id)
    let best: Slot | null = null
    let freeAt = Infinity
    for (const deployment of route.deployments) {
      const slot = slots.get(deployment)!
      if (slot.coolUntil > now) {
        freeAt = Math.min(freeAt, slot.coolUntil)
        continue
      }
      if (slot.active >= deployment.concurrent) continue
      if (best === null || better(slot, best, failed)) best = slot
    }
    if (best === null) return freeAt === Infinity ? { scope: 'model' } : { scope: 'model', retryAfterMs: freeAt - now }
    best.active++
    claims.set(job.id, best)
    return null
  }

  return {
    resolve,
    models: () => routes,
    headroom,
    claimed(job) {
      const slot = claims.get(job)
      if (!slot) throw new Error(`no deployment was claimed for ${job}`)
      return slot.deployment
    },
    release(job, report) {
      const slot = claims.get(job)
      if (!slot) return
      claims.delete(job)
      const wasFull = slot.active >= slot.deployment.concurrent
      slot.active--
      if (report.code === null) slot.failures = 0
      else {
        const cool = report.retryAfterMs ?? (report.code === 'provider_rate_limited' ? RATE_LIMIT_COOL_MS : 0)
        if (cool > 0) {
          slot.coolUntil = Math.max(slot.coolUntil, clock.monoMs() + cool)
          clock.after(cool + 1, wake)
        }
        if (BLAMES_DEPLOYMENT.has(report.code)) {
          slot.failures++
          const failed = failedAt.get(job) ?? new Set()
          failedAt.set(job, failed.add(slot))
        }
      }
      if (wasFull) wake()
    },
    forget: (job) => void failedAt.delete(job),
    status: () =>
      [...slots.values()].map((s) => ({
        name: s.deployment.name,
        active: s.active,
        cooling: s.coolUntil > clock.monoMs(),
      })),
  }
}

/** Where this job has not failed, then what works, then the lower order, then the less loaded. */
function better(a: Slot, b: Slot, failed: ReadonlySet<Slot> | undefined): boolean {
  const failedA = failed?.has(a) ?? false
  const failedB = failed?.has(b) ?? false
  if (failedA !== failedB) return failedB
  const sickA = a.failures >= EJECT_AFTER_FAILURES
  const sickB = b.failures >= EJECT_AFTER_FAILURES
  if (sickA !== sickB) return sickB
  if (a.deployment.order !== b.deployment.order) return a.deployment.order < b.deployment.order
  return load(a) < load(b)
}

const load = (slot: Slot): number =>
  slot.deployment.concurrent === Infinity ? slot.active / 1e6 : slot.active / slot.deployment.concurrent
