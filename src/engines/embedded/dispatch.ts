/**
 * The scheduler's events, made true: workers are told, ends and returns are written, and the clock comes back when the
 * scheduler has something to do. `act` follows each call of the scheduler.
 */
import type { Clock } from '../../core/clock.ts'
import type { SluiceError } from '../../core/errors.ts'
import { aboutJob, type Emit, failureOf } from '../../core/facts.ts'
import type { Job } from '../../core/job.ts'
import type { Scheduler } from '../../core/ports/scheduler.ts'
import type { Worker } from '../../core/ports/work.ts'
import { type End, endRecord } from '../../core/record.ts'
import { errorOf } from '../shared/scheduled.ts'
import type { ConversationStore } from './conversations/conversations.ts'
import type { Age } from './disk/age.ts'
import type { Store } from './disk/store.ts'
import type { Jobs } from './jobs/jobs.ts'
import type { LiveJob, LiveJobs } from './jobs/live-job.ts'
import type { LiveLog } from './log/live-log.ts'
import type { Logs } from './log/log.ts'

export interface Parts {
  readonly store: Store
  readonly logs: Logs
  readonly jobs: Jobs
  readonly live: LiveJobs
  readonly scheduler: Scheduler
  readonly conversations: ConversationStore
  readonly clock: Clock
  readonly age: Age
  readonly emit: Emit
}

/** While the process runs, it looks at the clock at least this often; */
const BEAT_MS = 1_000
/** and after so long a silence it did not run: stopped, suspended, its machine paused, or its event loop held. */
const SLEPT_MS = 3_000

export class Dispatch {
  readonly workers = new Map<string, Worker>()
  /** Called with each job before its end is told. */
  onEnded: (job: Job, log: LiveLog) => void = () => {}
  readonly #parts: Parts
  #readyPools = new Set<string>()
  #cancelTick: (() => void) | null = null
  #tickAt = Infinity
  #stopped = false
  #seenMono: number
  readonly #stopBeat: () => void

  constructor(parts: Parts) {
    this.#parts = parts
    this.#seenMono = parts.clock.monoMs()
    this.#stopBeat = parts.clock.every(BEAT_MS, () => void this.now())
  }

  /** Monotonic ms, for each call of the scheduler: it hears first of time in which nothing ran. */
  now(): number {
    const now = this.#parts.clock.monoMs()
    if (now - this.#seenMono > SLEPT_MS) this.#parts.scheduler.woke(now)
    this.#seenMono = now
    return now
  }

  act(): void {
    const { scheduler, clock } = this.#parts
    for (const event of scheduler.drain()) {
      if (event.type === 'ready') this.#ready(event.pool)
      else {
        const live = this.#parts.live.get(event.id)
        if (event.type === 'revoked') {
          if (live?.leasing) live.revoked = event.reason
          else this.workers.get(event.worker)?.revoked(event.id, event.attempt, event.reason)
        } else if (live === undefined || live.ended !== null) continue
        else if (event.type === 'ended') this.#endWithoutWorker(live, event.state, event.error)
        else {
          void this.comeBack(live, event.notBeforeMono).catch(() => {}) // the store failed, and says so through health
        }
      }
    }
    const at = scheduler.nextAt()
    if (at >= this.#tickAt || this.#stopped) return
    this.#cancelTick?.()
    this.#tickAt = at
    this.#cancelTick = clock.after(at - clock.monoMs(), () => {
      this.#tickAt = Infinity
      scheduler.tick(this.now())
      this.act()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#stopBeat()
    this.#cancelTick?.()
    this.workers.clear()
  }

  /** Told at the end of the call that made it so: what is leased then shares its commit. */
  #ready(pool: string): void {
    if (this.#readyPools.size === 0) queueMicrotask(() => this.#tellReady())
    this.#readyPools.add(pool)
  }

  #tellReady(): void {
    const pools = this.#readyPools
    this.#readyPools = new Set()
    for (const worker of [...this.workers.values()])
      if (worker.pools.length === 0 || worker.pools.some((pool) => pools.has(pool))) worker.ready()
  }

  /** The attempt is over and the job goes back in line. Resolves when that is committed. */
  comeBack(live: LiveJob, notBeforeMono: number): Promise<void> {
    const { scheduler, age, store, jobs } = this.#parts
    const { log } = live
    log.attempt = 0
    const tally = scheduler.tally(live.job.id)
    if (tally === null) return Promise.resolve()
    live.job = { ...live.job, attempts: tally.attempts }
    return store.run(() => jobs.comeBack(log.order, tally, age.of(notBeforeMono)), true)
  }

  #endWithoutWorker(live: LiveJob, state: 'failed' | 'canceled' | 'expired', error: SluiceError): void {
    const { emit } = this.#parts
    const { body } = live.job
    this.end(live, { state, ...errorOf(error) }, undefined, body.length > 0 ? body : null).then(
      () => emit({ type: 'job-ended', ...aboutJob(live.job), deployment: null, state, ...failureOf(error) }),
      () => {}, // the store failed, and says so through health
    )
  }

  /**
   * The one end of a job: its record, its state and its turn in one commit; told once power-safe. `body` null: it is
   * read when needed.
   */
  end(live: LiveJob, end: End, answer: string | undefined, body: Uint8Array | null): Promise<void> {
    live.ended ??= this.#end(live, end, answer, body)
    return live.ended
  }

  async #end(live: LiveJob, end: End, answer: string | undefined, body: Uint8Array | null): Promise<void> {
    const { store, logs, jobs, clock, age, conversations } = this.#parts
    const { log, job } = live
    const record = endRecord(end)
    const endedAtMs = Math.floor(clock.wallMs())
    const endedAge = age.now()
    log.attempt = 0
    logs.take(log, [record], false)
    log.ending = true
    let written = 0
    await store.run(() => {
      written = jobs.insertResult(log, live.job.attempts, end, endedAtMs, endedAge)
      if (live.canceling !== null) jobs.forgetCancel(log.order)
      if (job.options.conversation !== undefined)
        conversations.addTurn(job, log.order, body ?? bodyOrNone(jobs, log.order), end.state, answer ?? null, endedAtMs)
    }, true)
    store.wrote(written)
    await store.synced()
    this.#parts.live.delete(live)
    this.onEnded({ ...live.job, state: end.state, endedAtMs }, log)
    logs.end(log, record)
    for (const tell of live.waiting) tell()
    conversations.news.tell(job.tenant, job.options.conversation, {
      type: 'ended',
      job: { ...live.job, state: end.state, endedAtMs, ...(end.error && { error: end.error }) },
    })
  }
}

/** A damaged request has no messages to remember, and ends all the same. */
function bodyOrNone(jobs: Jobs, order: number): Uint8Array {
  try {
    return jobs.body(order)
  } catch {
    return Buffer.from('{}')
  }
}
