/**
 * The coordinator: one pure machine, composed of
 *
 *   scheduler/         who is next, and who is leased
 *   leasing, seats     who starts now: next in line, with a worker's slot, room and a deployment
 *   spending, limits/  is there room; what jobs hold, and what their attempts used
 *   plan/              on which deployment
 *   sharing, shares/   whose answer it repeats
 *   hedging            a second call of one that has shown nothing for long
 *   exits, verdict     how an attempt ended, and what becomes of the job
 *   line/              who waits and what runs, for people to look at
 *   results            what was decided, until an engine takes it
 */
import type { CheckReport } from '../core/engine-check.ts'
import { SluiceError } from '../core/errors.ts'
import type { JobId, JobState, Place, TenantId } from '../core/job.ts'
import {
  type Calendar,
  type LevelState,
  type LimitSettings,
  type LimitUse,
  NO_LIMITS,
  type RunUse,
  type Standing,
  type TenantStanding,
} from '../core/limits.ts'
import type { Line, RowKind } from '../core/live.ts'
import type {
  Change,
  Coordinator,
  Decision,
  Died,
  Found,
  Notice,
  PlanModel,
  ScheduledJob,
  WorkerSeat,
} from '../core/ports/coordinator.ts'
import {
  type Backlog,
  type DeploymentStatus,
  type LineBounds,
  MOST_STANDING,
  type QueueDepth,
  type RouteAsk,
  type RouteTrace,
  type Selector,
} from '../core/ports/operations.ts'
import { type Claim, type Finished, FROM_CACHE, type Outcome, type Race } from '../core/ports/work.ts'
import { Exits } from './exits.ts'
import { Hedging } from './hedging.ts'
import { Leasing } from './leasing.ts'
import type { Hold } from './limits/limits.ts'
import { LineView } from './line/line.ts'
import { Service } from './line/service.ts'
import { Plan } from './plan/plan.ts'
import { Results } from './results.ts'
import type { Admit, Scheduler, SchedulerOptions } from './scheduler/port.ts'
import { createScheduler } from './scheduler/scheduler.ts'
import type { ShareRules } from './shares/shares.ts'
import { isRepeat, Sharing } from './sharing.ts'
import { amountsOf, Spending } from './spending.ts'

export interface CoordinatorOptions
  extends Omit<SchedulerOptions, 'released' | 'left' | 'outgrown' | 'late' | 'narrow' | 'places' | 'served' | 'free'> {
  readonly models: readonly PlanModel[]
  /** As they are whenever it is asked. Absent: nothing is limited. */
  readonly limits?: () => LimitSettings
  /** No call starts on such a deployment; those that run there go on. As it is whenever it is asked. */
  readonly isDrained?: (deployment: string) => boolean
  /** Null: its jobs share no answers. As it is whenever it is asked. Absent: nobody's do. */
  readonly shares?: (tenant: TenantId) => ShareRules | null
}

export const createCoordinator = (options: CoordinatorOptions): Coordinator => new PureCoordinator(options)

class PureCoordinator implements Coordinator {
  readonly #results = new Results()
  readonly #plan: Plan
  readonly #spending: Spending
  readonly #scheduler: Scheduler
  readonly #sharing: Sharing
  readonly #leasing: Leasing
  readonly #hedging: Hedging
  readonly #exits: Exits
  readonly #line: LineView
  /** The last `now`. */
  #now = 0

  constructor({
    models,
    limits = () => NO_LIMITS,
    isDrained = () => false,
    shares = () => null,
    ...options
  }: CoordinatorOptions) {
    const results = this.#results
    const wake = (accounts: readonly string[]): void => {
      if (accounts.length > 0) this.#scheduler.freed(accounts)
      this.#leasing.wake()
    }
    const plan = new Plan(models, isDrained)
    const service = new Service()
    const spending = new Spending({ settings: limits, jitter: options.jitter, results, gaveBack: wake })
    const scheduler = createScheduler({
      ...options,
      narrow: (job, notes) => spending.narrow(job, notes),
      places: (job, failedAt) => plan.places(job, failedAt),
      served: (notes, tokens, output, now) => service.add(notes, tokens, output, now),
      released: (notes, worker) => this.#exits.settle(notes, worker, this.#now),
      left: (notes) => spending.letGo(notes, this.#now),
      outgrown: (notes) => spending.letGo(notes, this.#now),
      late: (notes) => spending.late(notes, this.#now),
      free: (job) => Math.min(this.#leasing.free(job.pool, this.#now), plan.deployments.free(job, this.#now)),
    })
    const sharing = new Sharing({ rules: shares, scheduler, spending, wake })
    const parts = { scheduler, plan, spending, sharing, results }
    this.#plan = plan
    this.#spending = spending
    this.#scheduler = scheduler
    this.#sharing = sharing
    this.#leasing = new Leasing(parts)
    this.#hedging = new Hedging(parts)
    this.#exits = new Exits(parts, this.#leasing, this.#hedging)
    this.#line = new LineView({ scheduler, plan, service, slots: () => this.#leasing.slots })
  }

  // ------------------------------------------------------------ the limits' store

  openLimits(levels: readonly LevelState[], calendar: Calendar, now: number): void {
    this.#spending.open(levels, calendar, now)
    this.#plan.deployments.restore(
      levels.filter(({ kind }) => kind === 'deployment'),
      now,
    )
  }

  takeLevels(now: number): readonly LevelState[] {
    const quotas = this.#plan.deployments.take(now)
    const levels = this.#spending.take(now)
    return quotas.length === 0 ? levels : [...levels, ...quotas]
  }

  forgetTenant(tenant: TenantId): void {
    this.#spending.forgetTenant(tenant)
  }

  // ------------------------------------------------------------ jobs come in

  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: JobId; readonly sameBody: boolean },
    isRetry?: boolean,
  ): Decision {
    this.#now = now
    let hold: Hold | null = null
    const cached = this.#sharing.find(job, now)
    const repeats = isRepeat(cached)
    const admit: Admit = (isFirst) => {
      const admitted =
        (repeats ? null : this.#coolsTooLong(job, now)) ?? this.#spending.admit(job, repeats, isFirst, now)
      if (admitted !== null && 'amounts' in admitted) hold = admitted
      return admitted
    }
    const decision = this.#scheduler.submit(job, now, known, isRetry, admit, repeats)
    if (decision.kind === 'accepted') {
      if (cached !== null) this.#sharing.take(job, now)
      this.#results.change({ type: 'accepted', id: job.id })
    }
    this.#collect()
    if (decision.kind === 'refused') return decision
    const standing = this.#spending.standing(job, now)
    if (decision.kind === 'joined') return { ...decision, standing }
    const accepted = { ...decision, reservation: amountsOf(hold), standing }
    return cached === null ? accepted : { ...accepted, cached }
  }

  /** Its providers want to be left alone until it would have expired. */
  #coolsTooLong(job: ScheduledJob, now: number): SluiceError | null {
    const retryAfterMs = this.#plan.deployments.coolsAllForMs(job, now)
    return now + retryAfterMs <= job.deadlineMono ? null : new SluiceError('provider_rate_limited', { retryAfterMs })
  }

  refuse(id: JobId, error: SluiceError): void {
    this.#results.change({ type: 'accepted', id })
    const state = error.code === 'job_canceled' ? 'canceled' : 'failed'
    this.#results.change({ type: 'ended', id, state, error, deployment: null })
  }

  withdraw(id: JobId): void {
    this.#exits.withdraw(id, this.#now)
    this.#collect()
  }

  restore(job: ScheduledJob, found: Found, now: number): void {
    const { tally, failedAt, held } = found
    this.#now = now
    const source = held?.claim.source ?? null
    const repeats = held === null ? isRepeat(this.#sharing.find(job, now)) : source !== null
    const claim = held?.claim ?? null
    const isStep = tally.attempts > 1
    const hold = this.#spending.adopt(job, repeats, { reservation: (claim ?? found).reservation, claim, isStep }, now)
    this.#scheduler.restore(job, tally, now, repeats, hold)
    if (held === null) this.#sharing.take(job, now)
    else this.#sharing.adopt(job, source)
    const notes = this.#scheduler.notes(job.id)!
    notes.failedAt = failedAt
    notes.isStep = isStep
    if (held !== null) {
      this.#scheduler.adopt(job.id, held.worker, now)
      if (source === null) {
        this.#plan.adopt(notes, held.claim, now)
        this.#hedging.adopt(notes, held.claim, now)
      }
      this.#leasing.adopt(held.worker)
      notes.claim = held.claim
    }
    this.#collect()
  }

  died(attempts: readonly Died[], now: number): void {
    this.#now = now
    for (const { id, deployment, model, outputTokens, isHedge, beside } of attempts) {
      const notes = this.#scheduler.notes(id)
      // Of a repeat nothing is lost
      if (notes === null || deployment === FROM_CACHE) continue
      const calls = [{ isBeside: false, deployment, model, tokens: outputTokens, ...(isHedge && { hedge: isHedge }) }]
      for (const { isBeside, tokens, model: as, ...where } of beside === undefined
        ? calls
        : [...calls, { isBeside: true, deployment: beside, model, tokens: 0, hedge: true } as const]) {
        this.#spending.died(notes, where, as, tokens, now, isBeside)
        if (where.deployment !== null)
          this.#plan.deployments.spend(where.deployment, notes.job.promptTokens, tokens, now)
      }
    }
    this.#scheduler.died(
      attempts.filter(({ wasDraining }) => wasDraining !== true).map(({ id }) => id),
      now,
    )
    this.#collect()
  }

  // ------------------------------------------------------------ workers

  attach(worker: WorkerSeat, now: number): void {
    this.#leasing.attach(worker)
    this.#scheduler.heartbeat(worker.id, now)
  }

  leave(worker: string, now: number): void {
    this.#now = now
    this.#leasing.leave(worker)
    this.#scheduler.lose(worker, now)
    this.#collect()
  }

  heartbeat(worker: string, now: number): void {
    this.#scheduler.heartbeat(worker, now)
  }

  woke(now: number): void {
    this.#now = now
    this.#scheduler.woke(now)
    this.#collect()
  }

  // ------------------------------------------------------------ lease to end

  get leasable(): boolean {
    return this.#leasing.leasable
  }

  lease(now: number): void {
    this.tick(now)
    this.#leasing.lease(now)
    this.#collect()
  }

  charge(id: JobId, attempt: number, tokens: number, now: number): void {
    this.#now = now
    const notes = this.#scheduler.notes(id)
    // A repeat costs no tokens
    if (notes === null || notes.lease === null || notes.attempt !== attempt || notes.repeats) return
    this.#scheduler.charge(id, attempt, tokens, now)
    if (notes.call !== null) this.#plan.streamed(notes, tokens, now)
    const cause = this.#spending.streamed(notes, tokens, now)
    if (cause !== null) this.#results.notice({ type: 'cut', id, worker: notes.lease.worker.id, attempt, cause })
  }

  hedge(id: JobId, attempt: number, now: number): Claim | null {
    this.#now = now
    const claim = this.#hedging.start(id, attempt, now)
    this.#collect()
    return claim
  }

  raced(id: JobId, attempt: number, race: Race, now: number): void {
    this.#now = now
    const notes = this.#scheduler.notes(id)
    if (notes !== null && notes.lease !== null && notes.attempt === attempt) this.#hedging.raced(notes, race, now)
    this.#collect()
  }

  finish(id: JobId, attempt: number, outcome: Outcome, now: number): Finished {
    this.#now = now
    const finished = this.#exits.finish(id, attempt, outcome, now)
    this.#collect()
    return finished
  }

  checked(report: CheckReport, now: number): void {
    this.tick(now)
    const { deployment, why } = report
    const news = this.#plan.deployments.checked(report, now)
    if (news !== null) this.#results.notice({ type: 'checked', deployment, isDown: news === 'down', why })
    this.#collect()
  }

  cancel(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown' {
    this.#now = now
    const kind = this.#scheduler.cancel(id, now)
    this.#collect()
    return kind
  }

  abandon(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown' | 'kept' {
    return this.#sharing.abandon(id) ? 'kept' : this.cancel(id, now)
  }

  // ------------------------------------------------------------ the operator's

  configure(models: readonly PlanModel[], now: number): void {
    this.tick(now)
    this.#plan.configure(models)
    this.limitsChanged(now)
  }

  limitsChanged(now: number): void {
    this.tick(now)
    this.#scheduler.limitsChanged(now)
    this.#sharing.limitsChanged(now)
    // Also who waits for what all tenants share
    this.#leasing.wake()
    this.#collect()
  }

  pause(selector: Selector, now: number): void {
    this.tick(now)
    this.#scheduler.pause(selector)
    this.#collect()
  }

  resume(selector: Selector, now: number): void {
    this.tick(now)
    this.#scheduler.resume(selector)
    this.#collect()
  }

  paused(): readonly Selector[] {
    return this.#scheduler.paused()
  }

  purge(selector: Selector, now: number, most?: number): readonly JobId[] {
    this.#now = now
    const purged = this.#scheduler.purge(selector, now, most)
    this.#collect()
    return purged
  }

  // ------------------------------------------------------------ time

  tick(now: number): void {
    this.#now = now
    this.#scheduler.tick(now)
    this.#plan.tick(now)
    if (this.#spending.tick(now)) this.#leasing.wake()
    this.#collect()
  }

  nextAt(): number {
    return Math.min(this.#scheduler.nextAt(), this.#plan.nextAt(), this.#spending.nextAt())
  }

  // ------------------------------------------------------------ queries

  places(ids: readonly JobId[], now: number): ReadonlyMap<JobId, Place> {
    const places = new Map<JobId, Place>()
    for (const id of ids) {
      const place = this.#scheduler.place(id, now)
      if (place === null) continue
      const waitingFor = this.#spending.awaited(this.#scheduler.notes(id)!, now)
      places.set(id, waitingFor === null ? place : { ...place, waitingFor })
    }
    return places
  }

  state(id: JobId): JobState | null {
    return this.#scheduler.state(id)
  }

  depth(): QueueDepth {
    return this.#scheduler.depth()
  }

  backlog(): readonly Backlog[] {
    return this.#scheduler.backlog()
  }

  line(by: RowKind, most: LineBounds, now: number, atMs: number): Line {
    return this.#line.look(by, most, now, atMs)
  }

  standing(job: ScheduledJob, now: number): Standing {
    return this.#spending.standing(job, now)
  }

  runUse(tenant: TenantId, run: string): RunUse | null {
    return this.#spending.runUse(tenant, run)
  }

  tenantStanding(tenant: TenantId, now: number): TenantStanding {
    return this.#spending.tenantStanding(tenant, now)
  }

  fullest(tenants: readonly TenantId[], now: number): ReadonlyArray<LimitUse | null> {
    return tenants.slice(0, MOST_STANDING).map((tenant) => this.#spending.fullestOf(tenant, now))
  }

  status(now: number): readonly DeploymentStatus[] {
    return this.#plan.deployments.status(now)
  }

  explain(ask: RouteAsk, now: number): RouteTrace {
    const notes = ask.job === undefined ? null : this.#scheduler.notes(ask.job)
    return this.#plan.explain(asJob(ask, now), now, notes)
  }

  // ------------------------------------------------------------ results

  changes(): readonly Change[] {
    return this.#results.takeChanges()
  }

  notices(): readonly Notice[] {
    return this.#results.takeNotices()
  }

  /** After each call of the scheduler: turns its events into changes and notices. */
  #collect(): void {
    this.#takeEvents()
    for (let id = this.#sharing.takeForsaken(); id !== undefined; id = this.#sharing.takeForsaken()) {
      this.#scheduler.cancel(id, this.#now)
      this.#takeEvents()
    }
    if (this.#plan.takeRoom()) this.#leasing.wake()
  }

  #takeEvents(): void {
    for (const event of this.#scheduler.drain()) {
      switch (event.type) {
        case 'ready':
          this.#leasing.wake()
          break
        case 'delayed':
          this.#exits.returned(event.id, event.notBeforeMono, this.#now)
          break
        case 'ended':
          this.#exits.endedAlone(event, this.#now)
          break
        case 'revoked':
          if (event.reason === 'canceled') this.#results.change({ type: 'canceling', id: event.id })
          this.#results.notice(event)
      }
    }
  }
}

/** As if it were submitted now. */
const asJob = ({ draw, job: _, ...ask }: RouteAsk, now: number): ScheduledJob => ({
  ...{ id: draw, tenant: '', lane: null, session: null, pool: '', priority: 'normal', bodyBytes: 0, keyId: '' },
  ...{ user: null, run: null, route: '', price: null, policy: 'wait', acceptedMono: now, notBeforeMono: now },
  ...{ deadlineMono: Infinity, joinKey: null },
  ...ask,
})
