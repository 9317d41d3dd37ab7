/**
 * The journal of the coordinator: its changes go into the store, in order and in one commit, and are told after that
 * commit. `act` follows each call of the coordinator; it also has the store lease, and sets the timer for what is due
 * next.
 */
import { SluiceError } from '../../core/errors.ts'
import { aboutJob } from '../../core/facts.ts'
import type { JobId } from '../../core/job.ts'
import type { Change, Notice } from '../../core/ports/coordinator.ts'
import type { Lease, Worker } from '../../core/ports/work.ts'
import type { UsageRecord } from '../../core/usage-record.ts'
import { callsOf } from '../shared/calls.ts'
import { lostFact } from '../shared/lost.ts'
import { Ending } from './ending.ts'
import { bodyOf } from './jobs/jobs.ts'
import type { LiveJob } from './jobs/live-job.ts'
import type { Parts } from './parts.ts'

type Leased = Extract<Change, { type: 'leased' }>
type Hedged = Extract<Change, { type: 'hedged' }>
type Returned = Extract<Change, { type: 'returned' }>

/** While the process runs, it looks at the clock at least this often; */
const BEAT_MS = 1_000
/** and after so long a silence it did not run: stopped, suspended, its machine paused, or its event loop held. */
const SLEPT_MS = 3_000

export class Dispatch {
  readonly workers = new Map<string, Worker>()
  readonly #parts: Parts
  /** All jobs that the start found are in line again: leases may begin. */
  #open = false
  /** `#lease` will be called. */
  #leasing = false
  #cancelTick: (() => void) | null = null
  #tickAt = Infinity
  #stopped = false
  #seenMono: number
  readonly #stopBeat: () => void

  constructor(parts: Parts) {
    this.#parts = parts
    this.#seenMono = parts.clock.monoMs()
    // What runs for longer than a beat is stored all the same: a restart takes it up
    this.#stopBeat = parts.clock.every(BEAT_MS, () => parts.logs.keepHeld(this.now() - BEAT_MS))
  }

  open(): void {
    this.#open = true
    this.act()
  }

  stop(): void {
    this.#stopped = true
    this.#stopBeat()
    this.#cancelTick?.()
    this.workers.clear()
  }

  /** Monotonic ms, for each call of the coordinator: it hears first of time in which nothing ran. */
  now(): number {
    const now = this.#parts.clock.monoMs()
    if (now - this.#seenMono > SLEPT_MS) this.#parts.coordinator.woke(now)
    this.#seenMono = now
    return now
  }

  /** Output tokens as they stream: an answer that nothing is left for is cut. */
  charge(id: JobId, attempt: number, tokens: number): void {
    const { coordinator, clock } = this.#parts
    coordinator.charge(id, attempt, tokens, clock.monoMs())
    for (const notice of coordinator.notices()) this.#tell(notice)
  }

  act(): void {
    this.#journal()
    const { coordinator, clock, store } = this.#parts
    if (this.#stopped) return
    if (coordinator.leasable && this.#open && !this.#leasing) {
      this.#leasing = true
      // All that became leasable in this turn is leased at once, and shares its commit
      store.before(this.#lease)
    }
    const at = coordinator.nextAt()
    if (at >= this.#tickAt) return
    this.#cancelTick?.()
    this.#tickAt = at
    this.#cancelTick = clock.after(Math.max(0, at - clock.monoMs()), () => {
      this.#tickAt = Infinity
      coordinator.tick(this.now())
      this.act()
    })
  }

  /** One batch a turn: the first of it run before the last are leased. */
  readonly #lease = (): void => {
    if (this.#stopped) return
    this.#parts.coordinator.lease(this.now())
    this.#leasing = false
    this.act()
  }

  #journal(): void {
    const { coordinator, live: all } = this.#parts
    const leased: Leased[] = []
    for (const change of coordinator.changes()) {
      if (change.type === 'accepted') continue // stored by its submit, which has the request
      const live = all.get(change.id)
      if (change.type === 'used') this.#book(live, change)
      if (live === undefined || live.isEnding) continue
      switch (change.type) {
        case 'canceling':
          this.#noteCancel(live)
          break
        case 'leased':
          this.#noteLease(live, change)
          leased.push(change)
          break
        case 'hedged':
          this.#noteHedge(live, change)
          break
        case 'returned':
          this.#return(live, change)
          break
        case 'ended':
          new Ending(this.#parts, live, change).begin()
      }
    }
    if (leased.length > 0) this.#handOut(leased)
    for (const notice of coordinator.notices()) this.#tell(notice)
  }

  #book(live: LiveJob | undefined, { record, isBeside }: Extract<Change, { type: 'used' }>): void {
    this.#parts.bookings.add(record, live?.isUnbooked === true ? live.log.order : null)
    if (live === undefined) return
    live.isUnbooked = false
    live.spent.add(record)
    if (record.end === 'lost' && !isBeside) this.#tellLost(live, record)
  }

  /** Once it is booked. */
  #tellLost({ job }: LiveJob, record: UsageRecord): void {
    const { store, emit } = this.#parts
    store.whenCommitted((error) => error === null && emit(lostFact(aboutJob(job), record)), true)
  }

  #tell(notice: Notice): void {
    if (notice.type === 'cooling') {
      this.#parts.emit({ ...notice, type: 'deployment-cooled' })
      return
    }
    if (notice.type === 'checked') {
      this.#parts.emit({ ...notice, type: 'deployment-checked' })
      return
    }
    if (notice.type === 'tripped') {
      this.#parts.emit({ ...notice, type: 'velocity-tripped' })
      return
    }
    if (notice.type === 'cut') {
      this.workers.get(notice.worker)?.cut(notice.id, notice.attempt, notice.cause)
      return
    }
    const { id, worker, attempt, reason } = notice
    const live = this.#parts.live.get(id)
    if (live?.leasing === attempt) live.revoked = attempt
    else this.workers.get(worker)?.revoked(id, attempt, reason)
  }

  // ------------------------------------------------------------ leases

  #noteLease(live: LiveJob, { attempt, queuedMs, ttftMs, claim }: Leased): void {
    live.log.attempt = attempt
    live.leasing = attempt
    const { logs } = this.#parts
    if (live.isBrief && !live.isStored) logs.hold(live.log, this.#seenMono)
    logs.noteLease(live.log, { queuedMs, ttftMs, calls: callsOf(claim) })
  }

  /** The calls of an attempt that runs, as they are now. */
  #noteHedge({ log }: LiveJob, { attempt, claim }: Hedged): void {
    const { queuedMs, ttftMs } = log
    if (log.attempt === attempt && !log.ending)
      this.#parts.logs.noteLease(log, { queuedMs, ttftMs, calls: callsOf(claim) })
  }

  /** After the commit. What is no longer leased by then was lost, or its submit could not be stored. */
  #handOut(leased: readonly Leased[]): void {
    const { store, live: all, clock } = this.#parts
    const decidedMono = this.#seenMono
    const done = (error: SluiceError | null): void => {
      if (error !== null) return
      const tookMs = clock.monoMs() - decidedMono
      for (const worker of this.workers.values()) {
        const leases: Lease[] = []
        for (const change of leased) {
          const live = change.worker === worker.id ? all.get(change.id) : undefined
          if (live?.log.attempt === change.attempt) leases.push(this.#leaseOf(live, change, tookMs))
        }
        if (leases.length === 0) continue
        worker.leased(leases)
        // Canceled meanwhile: its worker has it, and stops
        for (const { job, attempt } of leases)
          if (all.get(job.id)?.revoked === attempt) worker.revoked(job.id, attempt, 'canceled')
      }
    }
    store.whenCommitted(done, true)
  }

  #leaseOf(live: LiveJob, change: Leased, tookMs: number): Lease {
    const { attempt, crashes, claim, sinceAcceptedMs, ttftMs } = change
    const { jobs, live: all, emit } = this.#parts
    const { job, log, admittingMs } = live
    const queuedMs = Math.max(0, change.queuedMs - admittingMs)
    const turnMs = Math.max(0, change.turnMs - admittingMs)
    const { body, damaged } = live.body.length > 0 ? { body: live.body, damaged: undefined } : bodyOf(jobs, log.order)
    if (!log.held) all.dropBody(live)
    live.attempts = attempt
    live.leasing = 0
    const sinceMs = Math.max(queuedMs, sinceAcceptedMs - admittingMs)
    const { deployment } = claim
    emit({ ...aboutJob(job), type: 'job-leased', attempt, deployment, queuedMs, turnMs, sinceAcceptedMs: sinceMs })
    return {
      job,
      body,
      damaged,
      attempt,
      crashes,
      claim,
      sinceAcceptedMs: sinceMs + tookMs,
      queuedMs,
      turnMs,
      leasingMs: tookMs,
      ttftMs,
      log: { epoch: log.epoch, head: log.taken },
    }
  }

  /** Noted, so that a cancel that was acknowledged is not undone by a restart. */
  #noteCancel(live: LiveJob): void {
    const { store, jobs, logs } = this.#parts
    logs.keep(live.log)
    live.canceling = store.run(() => jobs.noteCancel(live.log.order), true)
    live.canceling.catch(expectStoreFailure)
  }

  /** The attempt is over and the job goes back in line. */
  #return(live: LiveJob, { notBeforeMono, tally, failedAt }: Returned): void {
    const { age, store, jobs, logs, clock, emit } = this.#parts
    const { log } = live
    logs.keep(log)
    log.attempt = 0
    live.attempts = tally.attempts
    const delayMs = Math.max(0, notBeforeMono - clock.monoMs())
    const notBeforeAge = age.of(notBeforeMono)
    store
      .run(() => jobs.comeBack(log.order, tally, failedAt, notBeforeAge), true)
      .then(
        () => emit({ ...aboutJob(live.job), type: 'job-returned', attempt: tally.attempts, delayMs }),
        expectStoreFailure,
      )
  }
}

/** The store says through health that it failed. Anything else is unforeseen, and ends the process. */
function expectStoreFailure(error: unknown): void {
  if (!(error instanceof SluiceError)) throw error
}
