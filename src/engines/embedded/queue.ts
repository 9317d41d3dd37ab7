/**
 * The queue: every decision is the scheduler's, every fact is the store's. This file is the port: it asks the one and
 * waits for the other.
 */
import { SluiceError } from '../../core/errors.ts'
import { jobOrder } from '../../core/ids.ts'
import type { Job, JobDraft, JobId, JobState, Place } from '../../core/job.ts'
import type { JobFilter, Jobs as JobsPort } from '../../core/ports/jobs.ts'
import type { Operations, QueueDepth, Selector } from '../../core/ports/operations.ts'
import type { Headroom } from '../../core/ports/scheduler.ts'
import type { Submissions, Submitted } from '../../core/ports/submissions.ts'
import type { Finished, Lease, Outcome, Work, Worker } from '../../core/ports/work.ts'
import type { End } from '../../core/record.ts'
import { errorOf, laneNames } from '../shared/scheduled.ts'
import type { Dispatch, Parts } from './dispatch.ts'
import type { Intake } from './intake.ts'
import { type Jobs, NO_BODY } from './jobs/jobs.ts'
import { listJobs } from './jobs/list.ts'
import type { LiveJob } from './jobs/live-job.ts'
import type { Pauses } from './pauses.ts'

const FENCED: Finished = { kind: 'fenced' }

export class EmbeddedQueue implements Submissions, Work, JobsPort, Operations {
  readonly #parts: Parts
  readonly #intake: Intake
  readonly #dispatch: Dispatch
  readonly #pauses: Pauses

  constructor(parts: Parts, intake: Intake, dispatch: Dispatch, pauses: Pauses) {
    this.#parts = parts
    this.#intake = intake
    this.#dispatch = dispatch
    this.#pauses = pauses
    parts.conversations.eraseJob = (id) => this.#erase(id)
    parts.logs.charge = (id, attempt, tokens) => parts.scheduler.charge(id, attempt, tokens)
  }

  // ------------------------------------------------------------ submit

  async submit(drafts: readonly JobDraft[]): Promise<readonly Submitted[]> {
    const results = await Promise.all(drafts.map((draft) => this.#intake.take(draft)))
    if (results.some((result) => result.kind !== 'refused')) await this.#parts.store.synced()
    return results
  }

  async begin(draft: JobDraft): Promise<{ readonly result: Submitted; readonly power: () => Promise<void> }> {
    const result = await this.#intake.take(draft)
    return { result, power: () => this.#parts.store.synced() }
  }

  async redrive(id: JobId): Promise<Submitted | null> {
    const job = await this.get(id)
    if (job === null || (job.state !== 'failed' && job.state !== 'expired')) return null
    const {
      id: _id,
      state: _state,
      epoch: _epoch,
      attempts: _attempts,
      acceptedAtMs: _at,
      endedAtMs: _ended,
      error: _error,
      usage: _usage,
      timing: _timing,
      ...draft
    } = job
    const { idempotencyKey: _key, delayMs: _delay, ...options } = draft.options
    const [submitted] = await this.submit([
      { ...draft, options, body: this.#parts.jobs.body(jobOrder(id)!), isRetry: false, redriveOf: id },
    ])
    return submitted
  }

  // ------------------------------------------------------------ work

  attach(worker: Worker): () => void {
    const { workers } = this.#dispatch
    workers.set(worker.id, worker)
    return () => {
      if (workers.get(worker.id) !== worker) return
      workers.delete(worker.id)
      this.#parts.scheduler.lose(worker.id, this.#dispatch.now())
      this.#dispatch.act()
    }
  }

  async lease(workerId: string, max: number, headroom: Headroom): Promise<readonly Lease[]> {
    const { store, scheduler, clock, logs, jobs, live: all } = this.#parts
    const worker = this.#dispatch.workers.get(workerId)
    if (worker === undefined || store.down !== null || !this.#intake.open) return []
    const found = scheduler.lease(workerId, worker.pools, max, headroom, this.#dispatch.now())
    this.#dispatch.act()
    if (found.length === 0) return []
    const leased = found.map(({ id, attempt, crashes }) => {
      const live = all.get(id)!
      live.log.attempt = attempt
      live.log.lease = attempt
      live.leasing = true
      logs.touch(live.log)
      return { live, attempt, crashes }
    })
    await store.run(() => {}, true)
    return leased.map(({ live, attempt, crashes }): Lease => {
      const { job, revoked } = live
      const { body, damaged } = job.body.length > 0 ? { body: job.body, damaged: undefined } : bodyOf(jobs, live)
      all.dropBody(live)
      live.job = { ...live.job, attempts: attempt }
      live.leasing = false
      live.revoked = null
      // One that is canceled, lost or refused meanwhile is handed out too: its worker holds a slot, and gives it back
      // when told
      if (revoked !== null) clock.soon(() => worker.revoked(job.id, attempt, revoked))
      return { job: { ...live.job, body, state: 'leased' }, attempt, crashes, ...(damaged && { damaged }) }
    })
  }

  heartbeat(workerId: string): void {
    this.#parts.scheduler.heartbeat(workerId, this.#dispatch.now())
    this.#dispatch.act()
  }

  async finish(lease: Lease, outcome: Outcome): Promise<Finished> {
    const { scheduler, store } = this.#parts
    const live = this.#parts.live.get(lease.job.id)
    if (live === undefined || live.log.attempt !== lease.attempt || live.ended !== null) return FENCED
    if (store.down?.code === 'storage_failed') throw store.down
    const finished = scheduler.finish(lease.job.id, lease.attempt, outcome, this.#dispatch.now())
    if (finished.kind === 'ended') {
      const ended = this.#dispatch.end(
        live,
        endOf(finished.state, outcome),
        'answer' in outcome ? outcome.answer : undefined,
        lease.job.body.length > 0 ? lease.job.body : null,
      )
      this.#dispatch.act()
      await ended
    } else {
      const back = finished.kind === 'again' ? this.#dispatch.comeBack(live, finished.notBeforeMono) : null
      this.#dispatch.act()
      await back
      await store.synced()
    }
    return finished
  }

  // ------------------------------------------------------------ control

  async cancel(id: JobId): Promise<{ readonly kind: 'canceled' | 'canceling' | 'ended' | 'unknown' }> {
    const live = this.#parts.live.get(id)
    if (live === undefined) return { kind: this.#parts.jobs.get(id) === null ? 'unknown' : 'ended' }
    if (live.ended === null) {
      const kind = this.#parts.scheduler.cancel(id, this.#dispatch.now())
      this.#dispatch.act()
      if (kind === 'canceling') {
        await this.#noted(live)
        return { kind }
      }
      if (kind === 'canceled') {
        await this.#told(live)
        return { kind }
      }
    }
    await this.#told(live)
    return { kind: 'ended' }
  }

  /** Its worker is told already. Noted, so that a cancel that was acknowledged is not undone by a restart. */
  #noted(live: LiveJob): Promise<void> {
    const { store, jobs } = this.#parts
    live.canceling ??= store.run(() => jobs.noteCancel(live.log.order), true)
    return store.whileUp(live.canceling.then(() => store.synced()))
  }

  /** A full disk keeps the end for later; who asked is told at once. */
  #told(live: LiveJob): Promise<void> {
    return live.ended === null ? Promise.resolve() : this.#parts.store.whileUp(live.ended)
  }

  /** Without its body. */
  async get(id: JobId): Promise<Job | null> {
    const live = this.#parts.live.get(id)
    return live === undefined ? this.#parts.jobs.get(id) : this.#parts.live.show(live)
  }

  async request(id: JobId): Promise<Uint8Array | null> {
    return (await this.get(id)) === null ? null : this.#parts.jobs.body(jobOrder(id)!)
  }

  list(filter: JobFilter): Promise<readonly Job[]> {
    const { store, clock, live } = this.#parts
    return listJobs(store.db, clock, live, filter, (detail) => store.warn('job_damaged', detail))
  }

  place(id: JobId): Place | null {
    return this.#parts.live.get(id) === undefined ? null : this.#parts.scheduler.place(id, this.#dispatch.now())
  }

  erase(id: JobId): Promise<boolean> {
    return this.#parts.store.ifUp(() => this.#erase(id))
  }

  async #erase(id: JobId): Promise<boolean> {
    const { store, jobs, logs, conversations } = this.#parts
    await this.ended(id)
    const order = jobOrder(id)
    const owner = jobs.ownerOf(id)
    if (order === null || owner === null) return false
    const { tenant, conversation } = owner
    await store.run(() => {
      jobs.remove(order)
      if (conversation !== null) conversations.removeTurn(tenant, conversation, order)
    }, true)
    logs.forget(id)
    await logs.renewed()
    await store.synced()
    conversations.news.tell(tenant, conversation ?? undefined, { type: 'erased', job: id })
    return true
  }

  /** Cancels it if it has not ended; resolves when it has. */
  async ended(id: JobId): Promise<void> {
    const live = this.#parts.live.get(id)
    if (live === undefined) return
    await live.accepted
    if (this.#parts.live.get(id) !== live) return
    const gone = new Promise<void>((done) => void live.waiting.push(done))
    await this.cancel(id)
    await this.#parts.store.whileUp(gone)
  }

  // ------------------------------------------------------------ the operator's

  pause(selector: Selector): Promise<void> {
    return this.#parts.store.ifUp(() => {
      for (const each of laneNames(selector)) this.#parts.scheduler.pause(each)
      this.#dispatch.act()
      return this.#pauses.add(selector)
    })
  }

  resume(selector: Selector): Promise<void> {
    return this.#parts.store.ifUp(async () => {
      await this.#pauses.remove(selector)
      for (const each of laneNames(selector)) this.#parts.scheduler.resume(each)
      this.#dispatch.act()
    })
  }

  paused(): readonly Selector[] {
    return this.#pauses.list()
  }

  purge(selector: Selector): Promise<number> {
    return this.#parts.store.ifUp(async () => {
      const ids = laneNames(selector).flatMap((each) => this.#parts.scheduler.purge(each, this.#dispatch.now()))
      this.#dispatch.act()
      await Promise.all(ids.map((id) => this.#parts.live.get(id)?.ended))
      return ids.length
    })
  }

  wake(): void {
    for (const worker of [...this.#dispatch.workers.values()]) worker.ready()
  }

  depth(): QueueDepth {
    return this.#parts.scheduler.depth()
  }
}

/** Its worker ends a damaged one: the others of the same call are not to suffer for it. */
function bodyOf(jobs: Jobs, live: LiveJob): { readonly body: Uint8Array; readonly damaged?: SluiceError } {
  try {
    return { body: jobs.body(live.log.order) }
  } catch (thrown) {
    return { body: NO_BODY, damaged: SluiceError.from(thrown) }
  }
}

function endOf(state: JobState, outcome: Outcome): End {
  const { usage, timing }: Partial<Pick<End, 'usage' | 'timing'>> = outcome.kind === 'released' ? {} : outcome
  const measured = { ...(usage && { usage }), ...(timing && { timing }) }
  if (state === 'done') return { state, ...measured }
  const error = outcome.kind === 'failed' && state !== 'canceled' ? outcome.error : new SluiceError('job_canceled')
  return { state: state as End['state'], ...errorOf(error), ...measured }
}
