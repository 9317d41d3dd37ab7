/**
 * The coordinator: who is next (scheduler/), may it start (limits), and where (plan/), or whose answer it repeats
 * (shares/), as one pure machine.
 *
 * A lease brings a claim: what it may use. Claims and holds are settled in one place, `#settle`, which the scheduler
 * calls when a lease is over: finished, handed back, lost, or given up.
 */

import { SluiceError } from '../core/errors.ts'
import type { Awaited, Cached, JobId, JobState, Place, TenantId, Usage } from '../core/job.ts'
import {
  type Amounts,
  type Calendar,
  type LevelState,
  type LimitSettings,
  NO_LIMITS,
  type Shortfall,
  type Standing,
} from '../core/limits.ts'
import type {
  Change,
  Coordinator,
  Decision,
  Died,
  EndState,
  Found,
  Notice,
  PlanModel,
  ScheduledJob,
  WorkerSeat,
} from '../core/ports/coordinator.ts'
import type { Backlog, DeploymentStatus, QueueDepth, Selector } from '../core/ports/operations.ts'
import { type Claim, FENCED, type Finished, FROM_CACHE, type Outcome } from '../core/ports/work.ts'
import type { AttemptEnd, Cost } from '../core/usage-record.ts'
import { blockOf, placesOf, roomAt } from './blocked.ts'
import { costOf, type Hold, Limits } from './limits/limits.ts'
import { lateOf, refusalOf } from './limits/refusal.ts'
import { Plan } from './plan/plan.ts'
import type { Admit, Headroom, HeadroomRefusal, Notes, Scheduler, SchedulerOptions } from './scheduler/port.ts'
import { createScheduler } from './scheduler/scheduler.ts'
import { Seats } from './seats.ts'
import { type ShareRules, Shares } from './shares/shares.ts'
import { type Verdict, verdictOn } from './verdict.ts'

export interface CoordinatorOptions extends Omit<SchedulerOptions, 'released' | 'left' | 'late' | 'narrow'> {
  readonly models: readonly PlanModel[]
  /** As they are whenever it is asked. Absent: nothing is limited. */
  readonly limits?: () => LimitSettings
  /** Null: its jobs share no answers. As it is whenever it is asked. Absent: nobody's do. */
  readonly shares?: (tenant: TenantId) => ShareRules | null
}

export const createCoordinator = (options: CoordinatorOptions): Coordinator => new PureCoordinator(options)

/** Jobs leased in one call: few enough that none waits long for the others to be stored and started. */
const LEASE_BATCH = 64
/** A deployment that cools for this long or longer is worth a line in the log. */
const NOTICED_COOL_MS = 5_000
const NO_CHANGES: readonly Change[] = []
const NO_NOTICES: readonly Notice[] = []
/** See 0045. */
const OUTPUT_QUANTILE = 0.5
const UNKNOWN_OUTPUT_TOKENS = 1_024

/** How an attempt ended, while it is settled. */
interface Ending {
  readonly end: AttemptEnd
  /** Absent: it never called. */
  readonly usage: Usage | undefined
  readonly cost: Cost | undefined
}

class PureCoordinator implements Coordinator {
  readonly #scheduler: Scheduler
  readonly #plan: Plan
  readonly #limits: Limits
  readonly #shares: Shares
  readonly #seats = new Seats()
  readonly #jitter: () => number
  #changes: Change[] = []
  #notices: Notice[] = []
  #leasable = false
  /** When what all tenants share may have room again. */
  #roomAt = Infinity
  /** The last `now`. */
  #now = 0
  /** Makers of answers that nobody waits for any more. */
  #forsaken: JobId[] = []
  /** Of the attempt that is being ended; null: its worker is lost. */
  #ending: Ending | null = null

  constructor({ models, limits = () => NO_LIMITS, shares = () => null, ...options }: CoordinatorOptions) {
    this.#plan = new Plan(models)
    this.#jitter = options.jitter
    this.#shares = new Shares(shares)
    this.#limits = new Limits({
      settings: limits,
      outputQuantile: OUTPUT_QUANTILE,
      unknownOutputTokens: UNKNOWN_OUTPUT_TOKENS,
    })
    this.#scheduler = createScheduler({
      ...options,
      narrow: (job, { hold }) =>
        hold === null ? this.#limits.narrow(job) : this.#limits.narrow(job, true).map(placesOf),
      released: (notes, worker) => this.#settle(notes, worker),
      left: (notes) => this.#letGo(notes),
      late: (notes) => {
        const short = this.#lacksToRun(notes, this.#now)
        return short && lateOf(short)
      },
    })
  }

  // ------------------------------------------------------------ the limits' store

  openLimits(levels: readonly LevelState[], calendar: Calendar, now: number): void {
    this.#limits.open(levels, calendar, now)
  }

  takeLevels(now: number): readonly LevelState[] {
    return this.#limits.take(now)
  }

  forgetTenant(tenant: TenantId): void {
    this.#limits.forgetTenant(tenant)
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
    const cached = this.#shares.find(job, now)
    const repeats = isRepeat(cached)
    const weighed = repeats ? asRepeat(job) : job
    const admit: Admit = (isFirst) => {
      // Who is before it in its lane must not wait for what it holds
      const holds = job.policy === 'reject' && isFirst
      const held = holds ? this.#limits.reserve(weighed, false, now) : this.#limits.lacks(weighed, false, now)
      if (held === null) return null
      if ('amounts' in held) {
        hold = held
        return held
      }
      // It waits, unless there will be no room for it in time, or only more money helps
      const { waitMs, unit } = held
      const isHopeless = waitMs === null || unit === 'nano_dollars' || now + waitMs > job.deadlineMono
      return job.policy === 'wait' && !isHopeless ? null : refusalOf(held, job.model, this.#jitter())
    }
    const decision = this.#scheduler.submit(job, now, known, isRetry, admit, repeats)
    if (decision.kind === 'accepted') {
      if (cached !== null) this.#shares.take(job, now)
      this.#changes.push({ type: 'accepted', id: job.id })
    }
    this.#collect()
    if (decision.kind === 'refused') return decision
    const standing = this.#limits.standing(job, now)
    if (decision.kind === 'joined') return { ...decision, standing }
    const accepted = { ...decision, reservation: amountsOf(hold), standing }
    return cached === null ? accepted : { ...accepted, cached }
  }

  withdraw(id: JobId): void {
    // If it was leased, nobody was told
    this.#ending = UNTOLD
    this.#scheduler.withdraw(id)
    this.#ending = null
    this.#unshare(id)
    this.#collect()
  }

  restore(job: ScheduledJob, { tally, failedAt, reservation, held }: Found, now: number): void {
    this.#now = now
    const source = held?.claim.source ?? null
    const repeats = held === null ? isRepeat(this.#shares.find(job, now)) : source !== null
    const amounts = held === null ? reservation : held.claim.reservation
    // It was to repeat an answer that is not there any more: it weighs more now, and holds that when it is leased
    const isTooLittle = !repeats && job.share !== undefined && amounts?.inputTokens === 0
    const weighed = repeats ? asRepeat(job) : job
    const hold = amounts === null || isTooLittle ? null : this.#limits.adopt(weighed, amounts, held !== null, now)
    this.#scheduler.restore(job, tally, now, repeats, hold)
    if (held === null) this.#shares.take(job, now)
    else this.#shares.adopt(job, source)
    const notes = this.#scheduler.notes(job.id)!
    notes.failedAt = failedAt
    if (held !== null) {
      this.#scheduler.adopt(job.id, held.worker, now)
      if (source === null) this.#plan.adopt(held.claim.deployment)
      this.#seats.take(held.worker)
      notes.claim = held.claim
    }
    this.#collect()
  }

  died(attempts: readonly Died[], now: number): void {
    this.#now = now
    for (const { id, deployment, outputTokens } of attempts) {
      const notes = this.#scheduler.notes(id)
      // Of a repeat nothing is lost
      if (notes === null || deployment === FROM_CACHE) continue
      const { job, attempt } = notes
      const usage = seenOf(job, outputTokens)
      const cost = guessOf(job, usage)
      this.#limits.spend(job, amountsUsed(job, usage, cost), now)
      this.#record(job, attempt, deployment, 'lost', usage, cost)
    }
    this.#scheduler.died(
      attempts.filter(({ wasDraining }) => wasDraining !== true).map(({ id }) => id),
      now,
    )
    this.#collect()
  }

  // ------------------------------------------------------------ workers

  attach(worker: WorkerSeat, now: number): void {
    this.#seats.attach(worker)
    this.#scheduler.heartbeat(worker.id, now)
    this.#leasable = true
  }

  leave(worker: string, now: number): void {
    this.#now = now
    this.#seats.leave(worker)
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
      if (notes.repeats) return this.#repeat(job, notes, now)
      const held = notes.hold
      const short = this.#hold(job, notes, now)
      if (short !== null) return short
      const found = this.#plan.claim(job, notes.failedAt, now)
      if (typeof found === 'string') {
        notes.claim = { deployment: found, reservation: amountsOf(notes.hold) }
        notes.streamed = 0
        return null
      }
      if (held !== null) this.#limits.unstart(held)
      else if (notes.hold !== null) {
        this.#limits.settle(notes.hold, null, now)
        notes.hold = null
      }
      return found
    }
    const leased = this.#scheduler.lease(worker, pools, max, headroom, now)
    for (const { id, attempt, crashes } of leased) {
      const { job, claim, ranMs, ttftMs } = this.#scheduler.notes(id)!
      if (job.share !== undefined) this.#freeShared(this.#shares.leased(id))
      this.#seats.take(worker)
      const sinceAcceptedMs = now - job.acceptedMono
      const times = { sinceAcceptedMs, queuedMs: Math.max(0, sinceAcceptedMs - ranMs), ttftMs }
      this.#changes.push({ type: 'leased', id, worker, attempt, crashes, claim: claim!, ...times })
    }
    return leased.length
  }

  /** It needs no deployment, but the answer: until that is there, or comes, it does not ask again. */
  #repeat(job: ScheduledJob, notes: Notes, now: number): HeadroomRefusal | null {
    const { maker, state, account } = this.#shares.answerFor(job.id)!
    if (maker === null || state === 'waits') return { scope: 'job', blocked: { account, untilMono: Infinity } }
    const short = this.#hold(asRepeat(job), notes, now)
    if (short !== null) return short
    notes.claim = { deployment: FROM_CACHE, source: maker, reservation: amountsOf(notes.hold) }
    notes.streamed = 0
    return null
  }

  #freeShared(account: string | null): void {
    if (account === null) return
    this.#scheduler.freed([account])
    this.#leasable = true
  }

  /** It ended, and leaves no answer to those that share it: the oldest of them in line makes it now. */
  #unshare(id: JobId): void {
    const { promoted, canceled } = this.#shares.ended(id, (other) => this.#jobInLine(other))
    if (promoted !== null) this.#generate(promoted)
    if (canceled !== null) this.#forsaken.push(canceled)
  }

  #jobInLine(id: JobId): ScheduledJob | null {
    const notes = this.#scheduler.notes(id)
    return notes === null || notes.lease !== null ? null : notes.job
  }

  /** One in line was to repeat an answer, and makes it itself: it holds the weight of that when it is leased. */
  #generate(id: JobId): void {
    const notes = this.#scheduler.notes(id)!
    notes.repeats = false
    this.#letGo(notes)
    this.#scheduler.regroup(id, this.#now)
    this.#leasable = true
  }

  /** Takes of the limits what it needs to run, beyond what it holds already. */
  #hold(job: ScheduledJob, notes: Notes, now: number): HeadroomRefusal | null {
    const held = notes.hold === null ? this.#limits.reserve(job, true, now) : this.#limits.start(notes.hold, now)
    if (held === null) return null
    if ('amounts' in held) {
      notes.hold = held
      return null
    }
    const block = blockOf(held, this.#limits.await(held, job, now), notes.hold !== null, now)
    if (block.scope === 'model' || block.scope === 'weight') this.#roomAt = Math.min(this.#roomAt, roomAt(held, now))
    return block
  }

  /** The one place where a claim is given back, and what an attempt used is booked. */
  #settle(notes: Notes, worker: string): void {
    const { job, attempt, hold, claim, streamed } = notes
    const { deployment, source } = claim!
    notes.claim = null
    notes.hold = null
    const isRepeat = source !== undefined
    if (!isRepeat) this.#plan.release(deployment)
    const ending = this.#ending ?? lostOf(job, streamed)
    const { end, usage, cost = guessOf(job, usage) } = isRepeat ? ofRepeat(ending) : ending
    if (hold !== null) {
      const used = usage === undefined ? null : isRepeat ? ONE_REQUEST : amountsUsed(job, usage, cost)
      this.#limits.settle(hold, used, this.#now)
      if (end === 'done' && usage !== undefined && !isRepeat) this.#limits.answered(hold, usage.completionTokens)
      this.#free(hold)
    }
    if (usage !== undefined) this.#record(job, attempt, deployment, end, usage, cost, source)
    if (this.#seats.giveBack(worker) || hold !== null) this.#leasable = true
  }

  /** It ends without having run: what it held from its submit on is given back. */
  #letGo(notes: Notes): void {
    const { hold } = notes
    if (hold === null) return
    notes.hold = null
    this.#limits.settle(hold, null, this.#now)
    this.#free(hold)
    this.#leasable = true
  }

  #free(hold: Hold): void {
    const freed = this.#limits.freed(hold)
    if (freed.length > 0) this.#scheduler.freed([...freed, ...freed.map(placesOf)])
  }

  #record(
    { id, tenant, keyId, user, run, kind, model }: ScheduledJob,
    attempt: number,
    deployment: string | null,
    end: AttemptEnd,
    usage: Usage,
    { nanoDollars, priceVersion }: Cost,
    source?: JobId,
  ): void {
    const where = source === undefined ? { deployment } : { deployment: null, source }
    const record = { job: id, attempt, tenant, keyId, user, run, kind, model, ...where, end, usage }
    this.#changes.push({ type: 'used', id, record: { ...record, nanoDollars, priceVersion } })
  }

  charge(id: JobId, attempt: number, tokens: number, now: number): void {
    this.#now = now
    const notes = this.#scheduler.notes(id)
    // A repeat costs no tokens
    if (notes === null || notes.lease === null || notes.attempt !== attempt || notes.repeats) return
    this.#scheduler.charge(id, attempt, tokens)
    notes.streamed += tokens
    if (notes.hold === null) return
    const cause = this.#limits.streamed(notes.hold, notes.streamed, now)
    if (cause !== null) this.#notices.push({ type: 'cut', id, worker: notes.lease.worker.id, attempt, cause })
  }

  finish(id: JobId, attempt: number, outcome: Outcome, now: number): Finished {
    const notes = this.#scheduler.notes(id)
    if (notes === null || notes.claim === null || notes.attempt !== attempt) return FENCED
    const { job, claim } = notes
    notes.ttftMs = ttftOf(outcome) ?? notes.ttftMs
    this.#now = now
    const { source } = claim
    const verdict =
      source === undefined ? this.#learn(job, notes, claim, outcome, now) : this.#repeated(job, notes, source, outcome)
    this.#ending = endingOf(verdict === RELEASED ? verdict : outcome)
    const finished = this.#scheduler.finish(id, attempt, verdict, now)
    this.#ending = null
    if (finished.kind === 'ended') {
      this.#changes.push(endOf(id, finished.state, verdict, claim))
      if (job.share !== undefined) this.#share(job, outcome, finished.state, source)
    } else if (finished.kind === 'again') this.#return(id, finished.notBeforeMono)
    this.#collect()
    return finished
  }

  /** A repeat that failed, and may be tried again: it makes its own answer, or repeats another. */
  #repeated(job: ScheduledJob, notes: Notes, source: JobId, outcome: Outcome): SchedulerOutcome {
    if (outcome.kind === 'failed' && outcome.retry !== false) {
      notes.repeats = this.#shares.broken(job, source)
      return RELEASED
    }
    // It costs its tenant nothing of its fair share
    if (outcome.kind === 'failed') return { ...outcome, retry: false, attemptUsage: NO_USAGE }
    return outcome.kind === 'released' ? outcome : { ...outcome, attemptUsage: NO_USAGE }
  }

  /** Its end: of an answer that is whole and its own, others may have the same. */
  #share(job: ScheduledJob, outcome: Outcome, state: JobState, source: JobId | undefined): void {
    const isWhole = state === 'done' && outcome.kind === 'done' && outcome.cut === undefined
    if (isWhole && source === undefined) this.#freeShared(this.#shares.made(job, this.#now))
    else this.#unshare(job.id)
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
    this.#now = now
    const kind = this.#scheduler.cancel(id, now)
    this.#collect()
    return kind
  }

  abandon(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown' | 'kept' {
    return this.#shares.abandon(id) ? 'kept' : this.cancel(id, now)
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
    // Also who waits for what all tenants share
    this.#leasable = true
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
    if (now >= this.#roomAt) {
      this.#roomAt = Infinity
      this.#leasable = true
    }
    this.#collect()
  }

  nextAt(): number {
    return Math.min(this.#scheduler.nextAt(), this.#plan.nextAt(), this.#roomAt)
  }

  // ------------------------------------------------------------ queries

  places(ids: readonly JobId[], now: number): ReadonlyMap<JobId, Place> {
    const places = new Map<JobId, Place>()
    for (const id of ids) {
      const place = this.#scheduler.place(id, now)
      if (place !== null) places.set(id, this.#withLimit(place, this.#scheduler.notes(id)!, now))
    }
    return places
  }

  #lacksToRun(notes: Notes, now: number): Shortfall | null {
    const { hold } = notes
    return hold === null ? this.#limits.lacks(weighedOf(notes), true, now) : this.#limits.lacksPlace(hold, now)
  }

  /** What it would wait for if it were its turn. */
  #withLimit(place: Place, notes: Notes, now: number): Place {
    const short = this.#lacksToRun(notes, now)
    return short === null ? place : { ...place, waitingFor: awaitedOf(short) }
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

  standing(job: ScheduledJob, now: number): Standing {
    return this.#limits.standing(job, now)
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
    this.#takeEvents()
    for (let id = this.#forsaken.pop(); id !== undefined; id = this.#forsaken.pop()) {
      this.#scheduler.cancel(id, this.#now)
      this.#takeEvents()
    }
    if (this.#plan.takeRoom()) this.#leasable = true
  }

  #takeEvents(): void {
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
          this.#unshare(id)
          break
        }
        case 'revoked':
          if (event.reason === 'canceled') this.#changes.push({ type: 'canceling', id: event.id })
          this.#notices.push(event)
      }
    }
  }

  #return(id: JobId, notBeforeMono: number): void {
    const { failedAt, job } = this.#scheduler.notes(id)!
    if (job.share !== undefined && this.#shares.returned(job)) this.#generate(id)
    this.#changes.push({ type: 'returned', id, notBeforeMono, tally: this.#scheduler.tally(id)!, failedAt })
  }
}

/** Nobody knows when one that runs will end. */
const awaitedOf = ({ level, unit, window, waitMs }: Shortfall): Awaited => ({
  level,
  unit,
  ...(window !== undefined && { window }),
  inMs: unit === 'running' ? null : waitMs,
})

const amountsOf = (hold: Hold | null): Amounts | null => hold?.amounts ?? null

// ---------------------------------------------------------------- repeats

const isRepeat = (cached: Cached | null): boolean => cached === 'hit' || cached === 'joined'

/** As limits weigh it: a request, and no tokens. */
const asRepeat = (job: ScheduledJob): ScheduledJob => ({ ...job, promptTokens: 0, maxOutputTokens: 0, price: null })

const weighedOf = ({ job, repeats }: Notes): ScheduledJob => (repeats ? asRepeat(job) : job)

const ONE_REQUEST: Amounts = { inputTokens: 0, outputTokens: 0, requests: 1, nanoDollars: 0 }
const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0, estimated: false }
const RELEASED: Extract<Outcome, { kind: 'released' }> = { kind: 'released' }

/** Nobody generated anything for it. What came to no end was no request either. */
const ofRepeat = ({ end }: Ending): Ending =>
  end === 'done' || end === 'canceled' || end === 'failed'
    ? { end, usage: NO_USAGE, cost: { nanoDollars: 0, priceVersion: null } }
    : { end, usage: undefined, cost: undefined }

const UNTOLD: Ending = { end: 'released', usage: undefined, cost: undefined }

/** A worker's end of an attempt. What it came to, if it came to anything. */
function endingOf(outcome: Outcome): Ending {
  const usage = outcome.kind === 'done' ? (outcome.attemptUsage ?? outcome.usage) : outcome.attemptUsage
  const end = outcome.kind === 'done' && outcome.cut !== undefined ? 'cut' : outcome.kind
  return { end, usage, cost: outcome.cost }
}

/** Its worker is lost: the call was made, and what came of it is what was streamed. */
const lostOf = (job: ScheduledJob, streamed: number): Ending => ({
  end: 'lost',
  usage: seenOf(job, streamed),
  cost: undefined,
})

const seenOf = ({ promptTokens }: ScheduledJob, completionTokens: number): Usage => ({
  promptTokens,
  completionTokens,
  estimated: true,
})

/** Where nobody computed what it cost: by the price that it was accepted at. */
const guessOf = ({ price }: ScheduledJob, usage: Usage | undefined): Cost => ({
  nanoDollars: price === null || usage === undefined ? null : costOf(price, usage.promptTokens, usage.completionTokens),
  priceVersion: null,
})

/** Of the limits. An attempt that came to nothing and costs nothing (refused, unreachable) is no request either. */
function amountsUsed(
  { price }: ScheduledJob,
  { promptTokens, completionTokens }: Usage,
  { nanoDollars }: Cost,
): Amounts | null {
  if (promptTokens === 0 && completionTokens === 0 && !nanoDollars) return null
  return {
    inputTokens: promptTokens,
    outputTokens: completionTokens,
    requests: 1,
    nanoDollars: nanoDollars ?? costOf(price, promptTokens, completionTokens),
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
    ...(outcome.kind === 'done' && outcome.cut !== undefined && { cut: outcome.cut }),
    deployment,
  }
}

const errorOf = (state: JobState, outcome: SchedulerOutcome): SluiceError =>
  state === 'failed' && outcome.kind === 'failed' ? outcome.error : new SluiceError('job_canceled')
