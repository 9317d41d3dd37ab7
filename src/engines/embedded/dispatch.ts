/**
 * The journal of the coordinator: its changes go into the store, in order and in one commit, and are told after that
 * commit. `act` follows each call of the coordinator; it also leases, and sets the timer for what is due next.
 */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { aboutJob, type Emit, failureOf } from '../../core/facts.ts'
import type { Job } from '../../core/job.ts'
import type { Change, Coordinator, Notice } from '../../core/ports/coordinator.ts'
import type { Lease, Worker } from '../../core/ports/work.ts'
import { type End, endRecord } from '../../core/record.ts'
import { errorOf } from '../shared/scheduled.ts'
import type { ConversationStore } from './conversations/conversations.ts'
import type { Age } from './disk/age.ts'
import type { Store } from './disk/store.ts'
import { bodyOf, bodyOrNone, type Jobs } from './jobs/jobs.ts'
import type { LiveJob, LiveJobs } from './jobs/live-job.ts'
import type { LiveLog } from './log/live-log.ts'
import type { Logs } from './log/log.ts'

export interface Parts {
  readonly store: Store
  readonly logs: Logs
  readonly jobs: Jobs
  readonly live: LiveJobs
  readonly coordinator: Coordinator
  readonly conversations: ConversationStore
  readonly clock: Clock
  readonly age: Age
  readonly emit: Emit
}

type Leased = Extract<Change, { type: 'leased' }>
type Returned = Extract<Change, { type: 'returned' }>
type Ended = Extract<Change, { type: 'ended' }>

/** While the process runs, it looks at the clock at least this often; */
const BEAT_MS = 1_000
/** and after so long a silence it did not run: stopped, suspended, its machine paused, or its event loop held. */
const SLEPT_MS = 3_000
/** Nothing is leased while nothing can be stored: time between two checks. */
const STORE_CHECK_MS = 250

export class Dispatch {
  readonly workers = new Map<string, Worker>()
  readonly #parts: Parts
  /** Called with each job before its end is told. */
  readonly #onEnded: (job: Pick<Job, 'id' | 'tenant'>, log: LiveLog) => void
  /** All jobs that the start found are in line again: leases may begin. */
  #open = false
  /** `#lease` will be called. */
  #leasing = false
  #cancelStoreCheck = (): void => {}
  #cancelTick: (() => void) | null = null
  #tickAt = Infinity
  #stopped = false
  #seenMono: number
  readonly #stopBeat: () => void

  constructor(parts: Parts, onEnded: (job: Pick<Job, 'id' | 'tenant'>, log: LiveLog) => void) {
    this.#parts = parts
    this.#onEnded = onEnded
    this.#seenMono = parts.clock.monoMs()
    this.#stopBeat = parts.clock.every(BEAT_MS, () => void this.now())
  }

  open(): void {
    this.#open = true
    this.act()
  }

  stop(): void {
    this.#stopped = true
    this.#stopBeat()
    this.#cancelTick?.()
    this.#cancelStoreCheck()
    this.workers.clear()
  }

  /** Monotonic ms, for each call of the coordinator: it hears first of time in which nothing ran. */
  now(): number {
    const now = this.#parts.clock.monoMs()
    if (now - this.#seenMono > SLEPT_MS) this.#parts.coordinator.woke(now)
    this.#seenMono = now
    return now
  }

  act(): void {
    this.#journal()
    const { coordinator, clock } = this.#parts
    if (this.#stopped) return
    if (coordinator.leasable && this.#open && !this.#leasing) {
      this.#leasing = true
      // At the end of the call that made it so: what is leased then shares its commit
      queueMicrotask(() => this.#lease())
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

  #lease(): void {
    const { coordinator, store, clock } = this.#parts
    if (this.#stopped) return
    if (store.down !== null) {
      this.#cancelStoreCheck = clock.after(STORE_CHECK_MS, () => this.#lease())
      return
    }
    coordinator.lease(this.now())
    this.#leasing = false
    if (!coordinator.leasable) return this.act()
    // One batch a turn: the first of it run before the last are leased
    this.#leasing = true
    this.act()
    clock.soon(() => this.#lease())
  }

  #journal(): void {
    const { coordinator, live: all } = this.#parts
    const leased: Leased[] = []
    for (const change of coordinator.changes()) {
      if (change.type === 'accepted') continue // stored by its submit, which has the request
      const live = all.get(change.id)
      if (live === undefined || live.ended !== null) continue
      switch (change.type) {
        case 'canceling':
          this.#noteCancel(live)
          break
        case 'leased':
          this.#noteLease(live, change)
          leased.push(change)
          break
        case 'returned':
          this.#return(live, change)
          break
        case 'ended':
          live.ended = this.#end(live, change)
          live.ended.catch(expectStoreFailure)
      }
    }
    if (leased.length > 0) this.#handOut(leased)
    for (const notice of coordinator.notices()) this.#tell(notice)
  }

  #tell(notice: Notice): void {
    if (notice.type === 'cooling') {
      this.#parts.emit({ ...notice, type: 'deployment-cooled' })
      return
    }
    const { id, worker, attempt, reason } = notice
    const live = this.#parts.live.get(id)
    if (live?.leasing === attempt) live.revoked = reason
    else this.workers.get(worker)?.revoked(id, attempt, reason)
  }

  // ------------------------------------------------------------ leases

  #noteLease({ log }: LiveJob, { attempt, queuedMs, ttftMs }: Leased): void {
    log.attempt = attempt
    this.#parts.logs.noteLease(log, queuedMs, ttftMs)
  }

  /** After the commit. What is no longer leased by then was lost, or its submit could not be stored. */
  #handOut(leased: readonly Leased[]): void {
    const { store, live: all } = this.#parts
    const decidedMono = this.#seenMono
    for (const { id, attempt } of leased) {
      const live = all.get(id)!
      live.leasing = attempt
      live.revoked = null
    }
    const done = (): void => {
      const leases = new Map<string, Lease[]>()
      const revoked: Leased[] = []
      for (const change of leased) {
        const live = all.get(change.id)
        if (live === undefined || live.log.attempt !== change.attempt) continue
        const lease = this.#leaseOf(live, change, decidedMono)
        const others = leases.get(change.worker)
        if (others === undefined) leases.set(change.worker, [lease])
        else others.push(lease)
        if (live.revoked !== null) revoked.push(change)
      }
      for (const [worker, own] of leases) this.workers.get(worker)?.leased(own)
      // Canceled meanwhile: its worker has it, and stops
      for (const { id, worker, attempt } of revoked) this.workers.get(worker)?.revoked(id, attempt, 'canceled')
    }
    store.write({ apply: () => {}, keep: true, done: (error) => error === null && done() })
  }

  #leaseOf(live: LiveJob, change: Leased, decidedMono: number): Lease {
    const { attempt, crashes, claim, sinceAcceptedMs, queuedMs, ttftMs } = change
    const { jobs, live: all, emit, clock } = this.#parts
    const { log } = live
    const { body, damaged } = live.body.length > 0 ? { body: live.body } : bodyOf(jobs, log.order)
    all.dropBody(live)
    live.attempts = attempt
    live.leasing = 0
    emit({ type: 'job-leased', ...aboutJob(live.job), attempt, deployment: claim.deployment, queuedMs })
    const handedOutMs = clock.monoMs() - decidedMono
    return {
      job: { ...live.job, attempts: attempt, body, state: 'leased' },
      attempt,
      crashes,
      claim,
      sinceAcceptedMs: sinceAcceptedMs + handedOutMs,
      queuedMs: queuedMs + handedOutMs,
      ttftMs,
      log: { epoch: log.epoch, head: log.taken },
      ...(damaged && { damaged }),
    }
  }

  /** Noted, so that a cancel that was acknowledged is not undone by a restart. */
  #noteCancel(live: LiveJob): void {
    const { store, jobs } = this.#parts
    live.canceling = store.run(() => jobs.noteCancel(live.log.order), true)
    live.canceling.catch(expectStoreFailure)
  }

  // ------------------------------------------------------------ ways out

  /** The attempt is over and the job goes back in line. */
  #return(live: LiveJob, { notBeforeMono, tally, failedAt }: Returned): void {
    const { age, store, jobs, clock, emit } = this.#parts
    const { log } = live
    log.attempt = 0
    live.attempts = tally.attempts
    const delayMs = Math.max(0, notBeforeMono - clock.monoMs())
    const notBeforeAge = age.of(notBeforeMono)
    store
      .run(() => jobs.comeBack(log.order, tally, failedAt, notBeforeAge), true)
      .then(
        () => emit({ type: 'job-returned', ...aboutJob(live.job), attempt: tally.attempts, delayMs }),
        expectStoreFailure,
      )
  }

  /** The one end of a job: its record, its state and its turn in one commit; told once power-safe. */
  async #end(live: LiveJob, { state, error, usage, timing, deployment }: Ended): Promise<void> {
    const { store, logs, jobs, clock, age, conversations, emit } = this.#parts
    const { log, job } = live
    const measured = { ...(usage && { usage }), ...(timing && { timing }) }
    const end: End = { state, ...(error && errorOf(error)), ...measured }
    const record = endRecord(end)
    const endedAtMs = Math.floor(clock.wallMs())
    const endedAge = age.now()
    log.attempt = 0
    logs.take(log, [record], false)
    log.ending = true
    const { answer = null } = live
    const body = live.leasedBody ?? (live.body.length > 0 ? live.body : null)
    let written = 0
    const isTurn = job.options.conversation !== undefined
    const write = (withTurn: boolean): Promise<void> =>
      store.run(() => {
        written = jobs.insertResult(log, live.attempts, end, endedAtMs, endedAge)
        if (live.canceling !== null) jobs.forgetCancel(log.order)
        if (withTurn)
          conversations.addTurn(job, log.order, body ?? bodyOrNone(jobs, log.order), state, answer, endedAtMs)
      }, true)
    await write(isTurn).catch((error: unknown) => {
      if (!isTurn || SluiceError.from(error).code !== 'internal') throw error
      // Its readers wait for the end, its lane for the next turn: rather a turn less
      store.warn('row_damaged', `The turn of ${job.id} can't be stored: its conversation goes on without it.`)
      return write(false)
    })
    store.wrote(written)
    await store.synced()
    this.#parts.live.delete(live)
    this.#onEnded(job, log)
    logs.end(log, record)
    for (const tell of live.waiting) tell()
    const { conversation } = job.options
    if (conversations.news.isWatched(job.tenant, conversation))
      conversations.news.tell(job.tenant, conversation, {
        type: 'ended',
        job: { ...job, attempts: live.attempts, state, endedAtMs, ...(end.error && { error: end.error }) },
      })
    emit({ type: 'job-ended', ...aboutJob(job), deployment, state, ...failureOf(error), ...measured })
  }
}

/** The store says through health that it failed. Anything else is unforeseen, and ends the process. */
function expectStoreFailure(error: unknown): void {
  if (!(error instanceof SluiceError)) throw error
}
