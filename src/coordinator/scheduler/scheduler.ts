/**
 * The scheduler: a pure machine that decides who is next, who waits and who holds a lease. It has no clock, no disk
 * and no randomness of its own: the same calls give the same answers.
 *
 * A job is *ready* when its time has come, those that it comes after have ended (successions.ts), it is the head of
 * its lane (or has none) and its lane is not paused. Ready jobs are in the line-up (line-up.ts), where tenants are
 * served by their virtual token counters (fairness.ts). A leased job stays the head of its lane until it ends. Every
 * way out of a lease is in `finish` and `#lose`; every end is in `#end`. Which job killed its worker is found out in
 * suspects.ts; how many are in which state is counted in census.ts.
 */
import { SluiceError } from '../../core/errors.ts'
import { type JobId, type JobState, type Place, saidTokens } from '../../core/job.ts'
import type { ScheduledJob, Tally } from '../../core/ports/coordinator.ts'
import type { Backlog, QueueDepth, Selector } from '../../core/ports/operations.ts'
import { FENCED, type Finished } from '../../core/ports/work.ts'
import { Table } from '../../core/table.ts'
import type { Hold } from '../limits/limits.ts'
import { refusal } from './caps.ts'
import { Census } from './census.ts'
import { type ActiveLease, Entry, WorkerLeases } from './entry.ts'
import { placeOf } from './estimate.ts'
import { Fairness } from './fairness.ts'
import { Joins } from './joins.ts'
import { Lanes } from './lanes.ts'
import { Leases } from './leases.ts'
import { LineUp } from './line-up.ts'
import { matches, Pauses } from './pauses.ts'
import type {
  Admit,
  Ended,
  Headroom,
  HeadroomRefusal,
  Notes,
  Scheduler,
  SchedulerEvent,
  SchedulerOptions,
  SchedulerSubmit,
  View,
} from './port.ts'
import { mostFails, retryDelayMs } from './retry.ts'
import { Successions } from './successions.ts'
import { Suspects } from './suspects.ts'
import { Timers } from './timers.ts'

/** Times are monotonic ms. Throws only on what can't be: a job submitted twice under one id. */
export const createScheduler = (options: SchedulerOptions): Scheduler => new PureScheduler(options)

/** A suspect that waits for another one to end. */
const ONE_AT_A_TIME: HeadroomRefusal = { scope: 'job' }
const ended = (state: JobState): Finished => ({ kind: 'ended', state })
const dependencyFailed = (id: JobId): SluiceError =>
  new SluiceError('dependency_failed', { message: `${id}, which this job comes after, did not end well.` })

class PureScheduler implements Scheduler {
  readonly #options: SchedulerOptions
  readonly #entries = new Table<JobId, Entry>()
  readonly #lanes = new Lanes<Entry>()
  readonly #timers = new Timers<Entry | WorkerLeases>()
  readonly #leases: Leases
  readonly #joins: Joins
  readonly #pauses = new Pauses()
  readonly #fairness: Fairness
  readonly #lineUp: LineUp
  readonly #census = new Census()
  readonly #suspects: Suspects
  readonly #successions = new Successions<Entry>()
  #events: SchedulerEvent[] = []
  #accepted = 0
  /** The last `now`, for the calls that have none. */
  #now = 0

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#leases = new Leases(options.leaseMs, this.#timers)
    this.#suspects = new Suspects(options.maxCrashes)
    this.#joins = new Joins(options.joinAfterEndMs)
    this.#fairness = new Fairness(options)
    this.#lineUp = new LineUp(this.#fairness, this.#pauses, options)
  }

  // ------------------------------------------------------------ in

  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: JobId; readonly sameBody: boolean },
    isRetry = false,
    admit?: Admit,
    repeats = false,
  ): SchedulerSubmit {
    this.#now = now
    if (known !== undefined)
      return known.sameBody
        ? { kind: 'joined', id: known.id }
        : { kind: 'refused', error: new SluiceError('idempotency_conflict') }
    const twin = isRetry ? this.#joins.find(job.joinKey, now) : null
    if (twin !== null) return { kind: 'joined', id: twin }
    const standing = {
      tenant: this.#fairness.tenant(job.tenant),
      share: this.#census.shareOf(job),
      flow: this.#lineUp.flowOf(job, repeats),
      lane: job.lane === null ? undefined : this.#lanes.find(job.lane),
      inLine: this.#census.inLine,
    }
    const caps = this.#options.caps?.() ?? this.#options
    const admitted =
      refusal(job, standing, caps, this.#fairness, this.#options.free, now) ??
      admit?.(standing.lane === undefined) ??
      null
    if (admitted instanceof SluiceError) return { kind: 'refused', error: admitted }
    // What it took to be accepted is no wait
    this.#add(job, now, repeats, admitted, 0)
    return { kind: 'accepted' }
  }

  withdraw(id: JobId): void {
    const entry = this.#entries.get(id)
    if (entry !== undefined) this.#end(entry, this.#now)
  }

  restore(job: ScheduledJob, tally: Tally, now: number, repeats = false, hold: Hold | null = null): void {
    this.#now = now
    const { attempts } = tally
    // Of one that never ran, and may run now, it is not known since when: its delay alone is
    const turnMs = attempts > 0 ? (tally.turnMs ?? 0) : Math.max(0, job.notBeforeMono - job.acceptedMono)
    const entry = this.#add(job, now, repeats, hold, turnMs, attempts)
    if (attempts > 0) entry.turnMs = turnMs
    entry.fails = tally.fails
    entry.deaths = tally.deaths
    entry.crashes = tally.crashes
    entry.ranMs = tally.ranMs
    entry.ttftMs = tally.ttftMs
  }

  adopt(id: JobId, worker: string, now: number): void {
    this.#now = now
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.lease !== null) throw new Error(`${id} can't be adopted`)
    this.#lineUp.stepOut(entry, now)
    this.#take(entry, worker, now)
  }

  died(ids: readonly JobId[], now: number): void {
    this.#now = now
    const entries = ids.map((id) => this.#entries.get(id)).filter((entry) => entry !== undefined)
    const poison = this.#suspects.blame(entries, entries.length)
    for (const entry of entries) {
      if (entry === poison) this.#endAlone(entry, 'failed', new SluiceError('poison_job'), now)
      else this.#events.push({ type: 'delayed', id: entry.job.id, notBeforeMono: entry.notBeforeMono })
    }
  }

  /** `turnMs`: if it is its own turn now. */
  #add(job: ScheduledJob, now: number, repeats: boolean, hold: Hold | null, turnMs: number, attempts = 0): Entry {
    if (this.#entries.has(job.id)) throw new Error(`${job.id} is there already`)
    const tenant = this.#fairness.tenant(job.tenant)
    const flow = this.#lineUp.flowOf(job, repeats)
    const entry = new Entry(job, ++this.#accepted, tenant, flow, job.lane === null ? null : this.#lanes.open(job.lane))
    entry.attempt = attempts
    entry.repeats = repeats
    entry.hold = hold
    this.#entries.set(job.id, entry)
    flow.jobs++
    this.#lanes.append(entry)
    this.#joins.add(job.joinKey, job.id)
    this.#census.add(entry)
    if (attempts > 0) this.#extend(entry, Math.max(now, job.notBeforeMono))
    if (job.after !== undefined) this.#follow(entry, job.after, now)
    this.#wait(entry, job.notBeforeMono, false, now)
    if (entry.turnMs !== null) entry.turnMs = turnMs
    return entry
  }

  // ------------------------------------------------------------ lease to end

  lease(
    worker: string,
    pools: readonly string[],
    max: number,
    headroom: Headroom,
    now: number,
  ): ReadonlyArray<{ readonly id: JobId; readonly attempt: number; readonly crashes: number }> {
    // Expired jobs are not leased, those that are due by now are
    this.tick(now)
    const mayRun: Headroom = (job, notes) =>
      this.#suspects.mustWait(notes as Entry) ? ONE_AT_A_TIME : headroom(job, notes)
    const leased: Array<{ readonly id: JobId; readonly attempt: number; readonly crashes: number }> = []
    const lease = (entry: Entry): void => {
      entry.attempt++
      this.#take(entry, worker, now)
      leased.push({ id: entry.job.id, attempt: entry.attempt, crashes: entry.crashes })
    }
    this.#lineUp.take(pools, max, mayRun, now, lease, (entry) => this.#census.move(entry, 'waiting'))
    return leased
  }

  #take(entry: Entry, worker: string, now: number): void {
    this.#timers.clear(entry)
    this.#census.move(entry, 'leased')
    entry.lease = this.#leases.take(entry, worker, now, this.#suspects.has(entry))
    entry.flow.leased++
    this.#suspects.leased(entry.lease)
    // At least one token, so that no tenant is served for nothing
    this.#serve(entry.lease, Math.max(1, entry.job.promptTokens), 0)
  }

  heartbeat(worker: string, now: number): void {
    this.#now = now
    this.#leases.heartbeat(worker, now)
  }

  freed(accounts: readonly string[]): void {
    for (const account of accounts) this.#lineUp.freed(account, this.#now)
  }

  limitsChanged(now: number): void {
    this.#now = now
    this.#lineUp.limitsChanged(now)
  }

  charge(id: JobId, attempt: number, tokens: number, now = this.#now): void {
    this.#now = now
    const entry = this.#entries.get(id)
    if (entry !== undefined && entry.lease !== null && entry.attempt === attempt) this.#serve(entry.lease, 0, tokens)
  }

  finish(id: JobId, attempt: number, outcome: Ended, now: number): Finished {
    this.#now = now
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.lease === null || entry.attempt !== attempt) return FENCED
    const { lease, flow } = entry
    const usage = outcome.kind === 'released' ? undefined : (outcome.attemptUsage ?? outcome.usage)
    if (usage !== undefined)
      this.#serve(
        lease,
        Math.max(1, usage.promptTokens) - lease.promptTokens,
        usage.completionTokens - lease.outputTokens,
      )
    // Not at its lease: that may be when nothing waits, and then its run would count as time without work. As it was
    // estimated, since so is what waits
    if (usage !== undefined) flow.throughput.serve(Math.max(1, entry.job.promptTokens))
    if (outcome.kind === 'done') {
      flow.throughput.answered(lease.outputTokens, now - lease.leasedMono)
      this.#end(entry, now)
      this.#joins.endedWell(entry.job.joinKey, id, now)
      this.#succeed(id, outcome.usage === undefined ? 0 : saidTokens(outcome.usage), now)
      return ended('done')
    }
    if (lease.canceling || outcome.kind === 'canceled') {
      this.#end(entry, now)
      this.#failFollowers(id, now)
      return ended('canceled')
    }
    if (outcome.kind === 'released') {
      const notBeforeMono = now + (outcome.inMs ?? 0)
      this.#giveBack(lease, notBeforeMono, true, now)
      return { kind: 'again', notBeforeMono }
    }
    entry.fails++
    if (!outcome.retry || entry.fails >= mostFails(this.#options, outcome.isUntried)) {
      this.#end(entry, now)
      this.#failFollowers(id, now)
      return ended('failed')
    }
    const { retryAfterMs } = outcome.error
    const notBeforeMono = now + retryDelayMs(this.#options, entry.fails, retryAfterMs, outcome.isUntried)
    this.#giveBack(lease, notBeforeMono, false, now)
    return { kind: 'again', notBeforeMono }
  }

  cancel(id: JobId, now: number): 'canceled' | 'canceling' | 'unknown' {
    this.#now = now
    const entry = this.#entries.get(id)
    if (entry === undefined) return 'unknown'
    const { lease } = entry
    if (lease === null) {
      this.#endAlone(entry, 'canceled', new SluiceError('job_canceled'), now)
      return 'canceled'
    }
    if (!lease.canceling) {
      lease.canceling = true
      this.#joins.remove(entry.job.joinKey, id)
      this.#events.push({ type: 'revoked', id, worker: lease.worker.id, attempt: entry.attempt, reason: 'canceled' })
    }
    return 'canceling'
  }

  fail(id: JobId, error: SluiceError, now: number): void {
    this.#now = now
    const entry = this.#entries.get(id)
    if (entry !== undefined && entry.lease === null) this.#endAlone(entry, 'failed', error, now)
  }

  lose(worker: string, now: number): void {
    this.#now = now
    const leases = this.#leases.of(worker)
    this.#lose(leases, leases.length, now)
  }

  woke(now: number): void {
    this.#now = now
    this.#leases.woke(now)
    this.#lineUp.woke(now)
  }

  /** Leases that a worker lost, of the `running` that it had. */
  #lose(leases: readonly ActiveLease[], running: number, now: number): void {
    const poison = this.#suspects.blame(
      leases.map((lease) => lease.entry),
      running,
    )
    for (const lease of leases) {
      const { entry } = lease
      const { id } = entry.job
      this.#events.push({ type: 'revoked', id, worker: lease.worker.id, attempt: entry.attempt, reason: 'lost' })
      if (lease.canceling) this.#endAlone(entry, 'canceled', new SluiceError('job_canceled'), now)
      else if (entry === poison) this.#endAlone(entry, 'failed', new SluiceError('poison_job'), now)
      else {
        this.#events.push({ type: 'delayed', id, notBeforeMono: now })
        this.#giveBack(lease, now, true, now)
      }
    }
  }

  #release(lease: ActiveLease): void {
    const { flow } = lease.entry
    flow.throughput.observe(this.#now, flow.isBusy)
    flow.leased--
    this.#leases.release(lease)
    lease.entry.lease = null
    this.#options.released?.(lease.entry, lease.worker.id)
    if (this.#suspects.released(lease)) this.#lineUp.rouse()
  }

  #serve(lease: ActiveLease, promptTokens: number, outputTokens: number): void {
    const service = this.#fairness.charge(lease, promptTokens, outputTokens)
    this.#options.served?.(lease.entry, service, outputTokens, this.#now)
    lease.entry.flow.throughput.serve(outputTokens)
  }

  #giveBack(lease: ActiveLease, notBeforeMono: number, inFront: boolean, now: number): void {
    lease.entry.ranMs += now - lease.leasedMono
    this.#release(lease)
    this.#census.move(lease.entry, 'queued', inFront)
    this.#extend(lease.entry, notBeforeMono)
    this.#wait(lease.entry, notBeforeMono, inFront, now)
  }

  // ------------------------------------------------------------ states

  /** In line until `notBeforeMono`, then ready in its turn. */
  #wait(entry: Entry, notBeforeMono: number, inFront: boolean, now: number): void {
    entry.notBeforeMono = notBeforeMono
    if (notBeforeMono > now) this.#census.move(entry, 'delayed')
    else this.#offer(entry, inFront, now)
    this.#arm(entry)
  }

  regroup(id: JobId, now: number): void {
    this.#now = now
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.lease !== null) return
    this.#lineUp.stepOut(entry, now)
    this.#offer(entry, true, now)
  }

  /** It is ready, if it is its lane's turn. */
  #offer(entry: Entry, inFront: boolean, now: number): void {
    if (entry.line !== null || entry.lease !== null || entry.state === 'delayed' || entry.waitsFor > 0) return
    this.#lineUp.regroup(entry)
    if (entry.lane !== null && entry.lane.head !== entry) return
    entry.turnMs ??= Math.max(0, now - entry.job.acceptedMono)
    this.#lineUp.stand(entry, inFront, now)
  }

  /** It started in time and comes back: it must not expire because of what interrupted it. */
  #extend(entry: Entry, fromMono: number): void {
    entry.deadlineMono = Math.max(entry.job.deadlineMono, fromMono + this.#options.returnRoomMs)
  }

  #arm(entry: Entry): void {
    const { state, notBeforeMono, deadlineMono, waitsFor } = entry
    // Those that it comes after have deadlines of their own
    const expires = waitsFor > 0 ? Infinity : deadlineMono
    this.#timers.set(entry, Math.min(state === 'delayed' ? notBeforeMono : Infinity, expires))
  }

  #end(entry: Entry, now: number): void {
    const { job, flow, lease } = entry
    this.#timers.clear(entry)
    this.#lineUp.stepOut(entry, now)
    this.#census.remove(entry)
    if (lease === null) this.#options.left?.(entry)
    else this.#release(lease)
    this.#entries.delete(job.id)
    this.#joins.remove(job.joinKey, job.id)
    flow.jobs--
    this.#lanes.remove(entry)
    const head = entry.lane?.head ?? null
    if (head !== null) this.#offer(head, false, now)
  }

  #endAlone(entry: Entry, state: 'failed' | 'canceled' | 'expired', error: SluiceError, now: number): void {
    this.#end(entry, now)
    this.#events.push({ type: 'ended', id: entry.job.id, state, error })
    this.#failFollowers(entry.job.id, now)
  }

  // ------------------------------------------------------------ jobs after others

  #follow(entry: Entry, after: readonly JobId[], now: number): void {
    for (const id of new Set(after)) {
      if (this.#entries.has(id)) this.#successions.add(id, entry)
      else this.#putIn(entry, id, this.#successions.saidBy(id))
    }
    // After a restart those may have ended long ago
    if (entry.waitsFor === 0) this.#extend(entry, Math.max(now, entry.job.notBeforeMono))
  }

  /** It is done: those that waited for it alone are in line from now on. */
  #succeed(id: JobId, saidTokens: number, now: number): void {
    for (const entry of this.#successions.done(id, saidTokens)) {
      if (this.#entries.get(entry.job.id) !== entry) continue
      this.#putIn(entry, id, saidTokens)
      if (--entry.waitsFor > 0) continue
      const { deadlineMono, acceptedMono } = entry.job
      entry.deadlineMono = Math.max(entry.deadlineMono, now + deadlineMono - acceptedMono)
      this.#offer(entry, false, now)
      this.#arm(entry)
    }
  }

  /** Its prompt grows by what that one has answered. */
  #putIn(entry: Entry, before: JobId, saidTokens: number): void {
    const { after, outputs, promptTokens } = entry.job
    const tokens = saidTokens * (outputs?.[after!.indexOf(before)] ?? 0)
    if (tokens === 0) return
    entry.job = { ...entry.job, promptTokens: promptTokens + tokens }
    this.#options.outgrown?.(entry)
    this.#census.crowds.reweigh(entry)
  }

  /** It will never be done, nor will those after it, nor those after these. Not recursive: a chain may be long. */
  #failFollowers(id: JobId, now: number): void {
    const ended = [id]
    for (const before of ended)
      for (const entry of this.#successions.take(before)) {
        const follower = entry.job.id
        if (this.#entries.get(follower) !== entry) continue
        this.#end(entry, now)
        this.#events.push({ type: 'ended', id: follower, state: 'failed', error: dependencyFailed(before) })
        ended.push(follower)
      }
  }

  // ------------------------------------------------------------ time

  tick(now: number): void {
    this.#now = now
    this.#lineUp.tick(now)
    for (let due = this.#timers.shift(now); due !== null; due = this.#timers.shift(now)) {
      if (due instanceof WorkerLeases) {
        this.#lose(this.#leases.expired(due, now), this.#leases.of(due.id).length, now)
        this.#leases.arm(due)
      } else if (due.deadlineMono <= now && due.waitsFor === 0) {
        const error = this.#options.late?.(due) ?? new SluiceError('deadline_exceeded')
        this.#endAlone(due, 'expired', error, now)
      } else {
        this.#census.move(due, 'queued')
        this.#offer(due, false, now)
        this.#arm(due)
      }
    }
  }

  nextAt(): number {
    return Math.min(this.#timers.next(), this.#lineUp.nextAt())
  }

  // ------------------------------------------------------------ the operator's

  pause(selector: Selector): void {
    this.#pauses.add(selector)
    this.#lineUp.reconsider(this.#now)
    const head = selector.lane === undefined ? null : (this.#lanes.find(selector.lane)?.head ?? null)
    if (head !== null && this.#pauses.holdsLane(head.job)) this.#lineUp.stepOut(head, this.#now)
  }

  /** A lane that was paused goes to the end of its tenant's line. */
  resume(selector: Selector): void {
    this.#pauses.remove(selector)
    this.#lineUp.reconsider(this.#now)
    const head = selector.lane === undefined ? null : (this.#lanes.find(selector.lane)?.head ?? null)
    if (head !== null) this.#offer(head, false, this.#now)
  }

  paused(): readonly Selector[] {
    return this.#pauses.list
  }

  purge(selector: Selector, now: number, most = Infinity): readonly JobId[] {
    this.#now = now
    const purged: JobId[] = []
    for (const entry of this.#entries.values()) {
      if (purged.length >= most) break
      if (entry.lease !== null || !matches(selector, entry.job)) continue
      purged.push(entry.job.id)
      this.#endAlone(
        entry,
        'canceled',
        new SluiceError('job_canceled', { message: 'The job was purged by the operator.' }),
        now,
      )
    }
    return purged
  }

  // ------------------------------------------------------------ looks

  place(id: JobId, now: number): Place | null {
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.lease !== null) return null
    const { job } = entry
    if (entry.waitsFor > 0) return { position: 0, tokensAhead: 0, waitsForJobs: entry.waitsFor }
    const isHeld = this.#pauses.holdsLane(job) || this.#pauses.holdsLine(job.tenant, job.model)
    return placeOf(this.#fairness, entry, isHeld ? Infinity : this.#lineUp.blockedUntil(entry), now)
  }

  state(id: JobId): JobState | null {
    return this.#entries.get(id)?.state ?? null
  }

  tally(id: JobId): Tally | null {
    const entry = this.#entries.get(id)
    if (entry === undefined) return null
    const { attempt: attempts, fails, deaths, crashes, ranMs, ttftMs, turnMs } = entry
    return { attempts, fails, deaths, crashes, ranMs, ttftMs, ...(turnMs !== null && turnMs > 0 && { turnMs }) }
  }

  notes(id: JobId): Notes | null {
    return this.#entries.get(id) ?? null
  }

  depth(): QueueDepth {
    return this.#census.depth
  }

  backlog(): readonly Backlog[] {
    return this.#lineUp.backlog()
  }

  view(): View {
    const fairness = this.#fairness
    return {
      crowds: this.#census.crowds,
      running: this.#leases.all(),
      tenants: fairness.size,
      next: this.#lineUp.next(),
      isReady: (notes) => {
        const { state, lane, waitsFor } = notes as Entry
        return state !== 'delayed' && waitsFor === 0 && (lane === null || lane.head === notes)
      },
      counterOf: (tenant) => fairness.tenant(tenant).counter,
      weightOf: (tenant) => fairness.weightOf(fairness.tenant(tenant)),
      counted: (tenant, promptTokens, outputTokens) =>
        fairness.weigh(promptTokens, outputTokens) / fairness.weightOf(fairness.tenant(tenant)),
    }
  }

  drain(): readonly SchedulerEvent[] {
    for (const pool of this.#lineUp.takeReadyPools()) this.#events.push({ type: 'ready', pool })
    if (this.#events.length === 0) return NOTHING
    const events = this.#events
    this.#events = []
    return events
  }
}

const NOTHING: readonly SchedulerEvent[] = []
