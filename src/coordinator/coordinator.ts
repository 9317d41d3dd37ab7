/**
 * The coordinator: who is next (scheduler/), may it start (limits), and where (plan/), as one pure machine.
 *
 * A lease brings a claim: what it may use. Claims are settled in one place, `#settle`, which the scheduler calls when a
 * lease is over: finished, handed back, lost, or given up.
 */

import { SluiceError } from '../core/errors.ts'
import type { JobId, JobState, Place } from '../core/job.ts'
import type {
  Change,
  Coordinator,
  Decision,
  EndState,
  Found,
  Notice,
  PlanModel,
  ScheduledJob,
  WorkerSeat,
} from '../core/ports/coordinator.ts'
import type { Backlog, DeploymentStatus, QueueDepth, Selector } from '../core/ports/operations.ts'
import { type Claim, FENCED, type Finished, type Outcome } from '../core/ports/work.ts'
import { giveBackAll, type Limit, takeAll } from './limits/limit.ts'
import { Plan } from './plan/plan.ts'
import type { Headroom, Notes, Scheduler, SchedulerOptions } from './scheduler/port.ts'
import { createScheduler } from './scheduler/scheduler.ts'
import { Seats } from './seats.ts'
import { type Verdict, verdictOn } from './verdict.ts'

export interface CoordinatorOptions extends Omit<SchedulerOptions, 'released'> {
  readonly models: readonly PlanModel[]
  /** Asked in this order, before the plan. */
  readonly limits?: readonly Limit[]
}

export const createCoordinator = (options: CoordinatorOptions): Coordinator => new PureCoordinator(options)

/** Jobs leased in one call: few enough that none waits long for the others to be stored and started. */
const LEASE_BATCH = 64
/** A deployment that cools for this long or longer is worth a line in the log. */
const NOTICED_COOL_MS = 5_000
const NO_CHANGES: readonly Change[] = []
const NO_NOTICES: readonly Notice[] = []

class PureCoordinator implements Coordinator {
  readonly #scheduler: Scheduler
  readonly #plan: Plan
  readonly #limits: readonly Limit[]
  readonly #seats = new Seats()
  #changes: Change[] = []
  #notices: Notice[] = []
  #leasable = false

  constructor({ models, limits = [], ...options }: CoordinatorOptions) {
    this.#plan = new Plan(models)
    this.#limits = limits
    this.#scheduler = createScheduler({ ...options, released: (notes, worker) => this.#settle(notes, worker) })
  }

  // ------------------------------------------------------------ jobs come in

  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: JobId; readonly sameBody: boolean },
    isRetry?: boolean,
  ): Decision {
    const decision = this.#scheduler.submit(job, now, known, isRetry)
    if (decision.kind === 'accepted') this.#changes.push({ type: 'accepted', id: job.id })
    this.#collect()
    return decision
  }

  withdraw(id: JobId): void {
    this.#scheduler.withdraw(id)
    this.#collect()
  }

  restore(job: ScheduledJob, { tally, failedAt, held }: Found, now: number): void {
    this.#scheduler.restore(job, tally, now)
    const notes = this.#scheduler.notes(job.id)!
    notes.failedAt = failedAt
    if (held !== null) {
      this.#scheduler.adopt(job.id, held.worker, now)
      this.#plan.adopt(held.claim.deployment)
      this.#seats.take(held.worker)
      notes.claim = held.claim
    }
    this.#collect()
  }

  died(ids: readonly JobId[], now: number): void {
    this.#scheduler.died(ids, now)
    this.#collect()
  }

  // ------------------------------------------------------------ workers

  attach(worker: WorkerSeat, now: number): void {
    this.#seats.attach(worker)
    this.#scheduler.heartbeat(worker.id, now)
    this.#leasable = true
  }

  leave(worker: string, now: number): void {
    this.#seats.leave(worker)
    this.#scheduler.lose(worker, now)
    this.#collect()
  }

  heartbeat(worker: string, now: number): void {
    this.#scheduler.heartbeat(worker, now)
  }

  woke(now: number): void {
    this.#scheduler.woke(now)
    this.#collect()
  }

  // ------------------------------------------------------------ lease to end

  get leasable(): boolean {
    return this.#leasable
  }

  lease(now: number): void {
    this.tick(now)
    this.#leasable = false
    let left = LEASE_BATCH
    for (let hasMore = true; hasMore && left > 0; ) {
      hasMore = false
      const free = this.#seats.free()
      // Several workers get a few each per round, so that the least loaded comes first again
      const share = free.length === 1 ? left : Math.ceil(left / (4 * free.length))
      for (const seat of free) {
        const max = Math.min(share, left, seat.slots - seat.held)
        const leased = this.#leaseTo(seat, max, now)
        left -= leased
        // It got as many as it could take, so there may be more
        if (leased === max) hasMore = true
      }
    }
    this.#collect()
    if (left === 0) this.#leasable = true
  }

  #leaseTo({ id: worker, pools }: WorkerSeat, max: number, now: number): number {
    const headroom: Headroom = (job, notes) => {
      const refusal = takeAll(this.#limits, job, now)
      if (refusal !== null) return refusal
      const found = this.#plan.claim(job, notes.failedAt, now)
      if (typeof found !== 'string') {
        giveBackAll(this.#limits, job)
        return found
      }
      notes.claim = { deployment: found, reservation: null }
      return null
    }
    const leased = this.#scheduler.lease(worker, pools, max, headroom, now)
    for (const { id, attempt, crashes } of leased) {
      const { job, claim, ranMs, ttftMs } = this.#scheduler.notes(id)!
      this.#seats.take(worker)
      const sinceAcceptedMs = now - job.acceptedMono
      const times = { sinceAcceptedMs, queuedMs: Math.max(0, sinceAcceptedMs - ranMs), ttftMs }
      this.#changes.push({ type: 'leased', id, worker, attempt, crashes, claim: claim!, ...times })
    }
    return leased.length
  }

  /** The one place where a claim is given back. */
  #settle(notes: Notes, worker: string): void {
    const { deployment } = notes.claim!
    notes.claim = null
    this.#plan.release(deployment)
    giveBackAll(this.#limits, notes.job)
    if (this.#seats.giveBack(worker) || this.#limits.length > 0) this.#leasable = true
  }

  charge(id: JobId, attempt: number, tokens: number): void {
    this.#scheduler.charge(id, attempt, tokens)
  }

  finish(id: JobId, attempt: number, outcome: Outcome, now: number): Finished {
    const notes = this.#scheduler.notes(id)
    if (notes === null || notes.claim === null || notes.attempt !== attempt) return FENCED
    const { job, claim } = notes
    notes.ttftMs = ttftOf(outcome) ?? notes.ttftMs
    const verdict = this.#learn(job, notes, claim, outcome, now)
    const finished = this.#scheduler.finish(id, attempt, verdict, now)
    if (finished.kind === 'ended') this.#changes.push(endOf(id, finished.state, verdict, claim))
    else if (finished.kind === 'again') this.#return(id, finished.notBeforeMono)
    this.#collect()
    return finished
  }

  /** Updates the deployment's health by how the attempt went, and decides what becomes of the job. */
  #learn(job: ScheduledJob, notes: Notes, { deployment }: Claim, outcome: Outcome, now: number): SchedulerOutcome {
    if (outcome.kind === 'done') this.#plan.answered(job, deployment, now)
    if (outcome.kind !== 'failed') return outcome
    const { code, retryAfterMs } = outcome.error
    const elsewhere = outcome.retry === 'elsewhere'
    const failure = { code, retryAfterMs, elsewhere }
    const { failedAt, coolingMs } = this.#plan.failed(job, deployment, notes.failedAt, failure, now)
    notes.failedAt = failedAt
    if (coolingMs !== null && coolingMs >= NOTICED_COOL_MS)
      this.#notices.push({ type: 'cooling', deployment, model: job.model, code, ms: coolingMs })
    return verdictOn(outcome, {
      hereInMs: this.#plan.coolsForMs(deployment, job.model, now),
      elsewhereInMs: this.#plan.elsewhereInMs(job, deployment, failedAt, now),
      roomMs: job.deadlineMono - now,
    })
  }

  cancel(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown' {
    const kind = this.#scheduler.cancel(id, now)
    this.#collect()
    return kind
  }

  // ------------------------------------------------------------ the operator's

  configure(models: readonly PlanModel[], now: number): void {
    this.tick(now)
    this.#plan.configure(models)
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
    const purged = this.#scheduler.purge(selector, now, most)
    this.#collect()
    return purged
  }

  // ------------------------------------------------------------ time

  tick(now: number): void {
    this.#scheduler.tick(now)
    this.#plan.tick(now)
    this.#collect()
  }

  nextAt(): number {
    return Math.min(this.#scheduler.nextAt(), this.#plan.nextAt())
  }

  // ------------------------------------------------------------ queries

  places(ids: readonly JobId[], now: number): ReadonlyMap<JobId, Place> {
    const places = new Map<JobId, Place>()
    for (const id of ids) {
      const place = this.#scheduler.place(id, now)
      if (place !== null) places.set(id, place)
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

  status(now: number): readonly DeploymentStatus[] {
    return this.#plan.status(now)
  }

  // ------------------------------------------------------------ results

  changes(): readonly Change[] {
    if (this.#changes.length === 0) return NO_CHANGES
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  notices(): readonly Notice[] {
    if (this.#notices.length === 0) return NO_NOTICES
    const notices = this.#notices
    this.#notices = []
    return notices
  }

  /** After each call of the scheduler: turns its events into changes and notices. */
  #collect(): void {
    for (const event of this.#scheduler.drain()) {
      switch (event.type) {
        case 'ready':
          this.#leasable = true
          break
        case 'delayed':
          this.#return(event.id, event.notBeforeMono)
          break
        case 'ended': {
          const { id, state, error } = event
          this.#changes.push({ type: 'ended', id, state, error, deployment: null })
          break
        }
        case 'revoked':
          if (event.reason === 'canceled') this.#changes.push({ type: 'canceling', id: event.id })
          this.#notices.push(event)
      }
    }
    if (this.#plan.takeRoom()) this.#leasable = true
  }

  #return(id: JobId, notBeforeMono: number): void {
    const { failedAt } = this.#scheduler.notes(id)!
    this.#changes.push({ type: 'returned', id, notBeforeMono, tally: this.#scheduler.tally(id)!, failedAt })
  }
}

/** An attempt's end, as the scheduler gets it. */
type SchedulerOutcome = Exclude<Outcome, { kind: 'failed' }> | Verdict

const ttftOf = (outcome: Outcome): number | undefined =>
  outcome.kind === 'released' ? outcome.ttftMs : outcome.timing?.ttftMs

function endOf(id: JobId, state: JobState, outcome: SchedulerOutcome, { deployment }: Claim): Change {
  const { usage, timing } = outcome.kind === 'released' ? {} : outcome
  return {
    type: 'ended',
    id,
    state: state as EndState,
    error: state === 'done' ? null : errorOf(state, outcome),
    ...(usage && { usage }),
    ...(timing && { timing }),
    deployment,
  }
}

const errorOf = (state: JobState, outcome: SchedulerOutcome): SluiceError =>
  state === 'failed' && outcome.kind === 'failed' ? outcome.error : new SluiceError('job_canceled')
