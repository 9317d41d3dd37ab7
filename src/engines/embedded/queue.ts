/**
 * The queue: every decision is the coordinator's, every fact is the store's. This file is the port: it asks the one and
 * waits for the other.
 */
import type { CheckReport } from '../../core/engine-check.ts'
import type { SluiceError } from '../../core/errors.ts'
import type { Job, JobDraft, JobId, Place, TenantId } from '../../core/job.ts'
import type { LimitUse, RunUse, TenantStanding } from '../../core/limits.ts'
import type { Line, RowKind } from '../../core/live.ts'
import type { JobFilter, Jobs as JobsPort } from '../../core/ports/jobs.ts'
import type {
  Backlog,
  DeploymentStatus,
  LineBounds,
  Operations,
  QueueDepth,
  RouteAsk,
  RouteTrace,
  Selector,
} from '../../core/ports/operations.ts'
import type { Begun, Redriver, Submissions, Submitted, Terms } from '../../core/ports/submissions.ts'
import {
  type Attachment,
  type Claim,
  FENCED,
  type Finished,
  type Lease,
  type Outcome,
  type Race,
  type Work,
  type Worker,
} from '../../core/ports/work.ts'
import { PlaceWatch } from '../shared/place-watch.ts'
import { redriven } from '../shared/redriven.ts'
import { laneNames, withoutKey } from '../shared/scheduled.ts'
import type { Dispatch } from './dispatch.ts'
import type { Intake } from './intake.ts'
import { listJobs } from './jobs/list.ts'
import type { LiveJob } from './jobs/live-job.ts'
import type { Parts } from './parts.ts'
import type { Pauses } from './pauses.ts'

/** Jobs that are purged, and their ends stored, in one turn of the event loop: tens of ms. */
const PURGED_AT_ONCE = 250
const FENCED_ALREADY = Promise.resolve(FENCED)

/** Resolves when its end is told; rejects where it can't be stored. */
const endOf = (live: LiveJob | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    if (live === undefined) resolve()
    else live.ended.when((error) => (error === null ? resolve() : reject(error)))
  })

export class EmbeddedQueue implements Submissions, Work, JobsPort, Operations {
  readonly #parts: Parts
  readonly #intake: Intake
  readonly #dispatch: Dispatch
  readonly #pauses: Pauses
  readonly #placeWatch: PlaceWatch
  readonly #onChecked: Array<(reports: readonly CheckReport[]) => void> = []
  readonly #power = (): Promise<void> => this.#parts.store.synced()

  constructor(parts: Parts, intake: Intake, dispatch: Dispatch, pauses: Pauses) {
    this.#parts = parts
    this.#intake = intake
    this.#dispatch = dispatch
    this.#pauses = pauses
    this.#placeWatch = new PlaceWatch(parts.clock, (jobs) => parts.coordinator.places(jobs, dispatch.now()))
  }

  // ------------------------------------------------------------ submit

  submit(drafts: readonly JobDraft[], ids?: readonly JobId[]): Promise<readonly Submitted[]> {
    return this.#intake.takeAll(drafts, ids)
  }

  async reserve(n: number): Promise<readonly JobId[]> {
    return this.#intake.reserve(n)
  }

  async refuse(draft: JobDraft, id: JobId, error: SluiceError): Promise<Submitted> {
    const [submitted] = await this.#intake.takeAll([withoutKey(draft)], [id], error)
    return submitted
  }

  begin(draft: JobDraft): Promise<{ readonly result: Begun; readonly power: () => Promise<void> }> {
    return new Promise((resolve) => {
      const told = (result: Begun, live: LiveJob | null): void =>
        resolve({ result, power: live?.log.held === true ? () => this.#intake.power(live) : this.#power })
      this.#intake.take(draft, told, true)
    })
  }

  async redrive(id: JobId, by: Redriver | null, terms?: Terms): Promise<Submitted | null> {
    const job = await this.get(id)
    if (job === null || (job.state !== 'failed' && job.state !== 'expired')) return null
    const body = this.#parts.jobs.body(this.#parts.jobs.positions.of(id)!)
    const [submitted] = await this.submit([redriven(job, body, by, terms)])
    return submitted
  }

  // ------------------------------------------------------------ work

  attach(worker: Worker): Attachment {
    const { coordinator } = this.#parts
    const { workers } = this.#dispatch
    const { id, pools } = worker
    const sit = (slots: number): void => {
      if (workers.get(id) !== worker) return
      coordinator.attach({ id, pools, slots }, this.#dispatch.now())
      this.#dispatch.act()
    }
    workers.set(id, worker)
    sit(worker.slots)
    return {
      heartbeat: () => {
        coordinator.heartbeat(id, this.#dispatch.now())
        this.#dispatch.act()
      },
      resize: sit,
      leave: async () => {
        if (workers.get(id) !== worker) return
        workers.delete(id)
        coordinator.leave(id, this.#dispatch.now())
        this.#dispatch.act()
      },
    }
  }

  checked(reports: readonly CheckReport[]): void {
    for (const report of reports) this.#parts.coordinator.checked(report, this.#dispatch.now())
    this.#dispatch.act()
    for (const fn of this.#onChecked) fn(reports)
  }

  onChecked(fn: (reports: readonly CheckReport[]) => void): void {
    this.#onChecked.push(fn)
  }

  hedge({ job, attempt }: Lease): Promise<Claim | null> {
    const { coordinator, store, live } = this.#parts
    const here = live.get(job.id)
    if (here?.log.attempt !== attempt || here.isEnding || store.down !== null) return Promise.resolve(null)
    const claim = coordinator.hedge(job.id, attempt, this.#dispatch.now())
    this.#dispatch.act()
    if (claim === null) return Promise.resolve(null)
    return new Promise((resolve, reject) =>
      store.whenCommitted((error) => (error === null ? resolve(claim) : reject(error)), true),
    )
  }

  raced({ job, attempt }: Lease, race: Race): void {
    if (this.#parts.live.get(job.id)?.log.attempt !== attempt) return
    this.#parts.coordinator.raced(job.id, attempt, race, this.#dispatch.now())
    this.#dispatch.act()
  }

  finish(lease: Lease, outcome: Outcome): Promise<Finished> {
    const { coordinator, store } = this.#parts
    const live = this.#parts.live.get(lease.job.id)
    if (live === undefined || live.log.attempt !== lease.attempt || live.isEnding) return FENCED_ALREADY
    if (store.down?.code === 'storage_failed') return Promise.reject(store.down)
    if (lease.body.length > 0) live.leasedBody = lease.body
    live.answer = 'answer' in outcome ? (outcome.answer ?? null) : null
    const finished = coordinator.finish(lease.job.id, lease.attempt, outcome, this.#dispatch.now())
    this.#dispatch.act()
    return new Promise((resolve, reject) => {
      const told = (error: SluiceError | null): void => (error === null ? resolve(finished) : reject(error))
      if (finished.kind === 'ended') return live.ended.when(told)
      live.leasedBody = null
      store.whenCommitted((error) => (error === null ? store.whenSynced(told) : told(error)), true)
    })
  }

  // ------------------------------------------------------------ control

  async cancel(id: JobId): Promise<{ readonly kind: 'canceled' | 'canceling' | 'ended' | 'unknown' }> {
    const live = this.#parts.live.get(id)
    if (live === undefined) return { kind: this.#parts.jobs.get(id) === null ? 'unknown' : 'ended' }
    if (!live.isEnding) {
      const kind = this.#parts.coordinator.cancel(id, this.#dispatch.now())
      this.#dispatch.act()
      if (kind === 'canceling') {
        const { store } = this.#parts
        await store.whileUp(live.canceling!.then(() => store.synced()))
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

  /** Nobody reads it: it is canceled, unless others share its answer. */
  async abandon(id: JobId): Promise<void> {
    const { live, coordinator } = this.#parts
    const job = live.get(id)
    if (job === undefined || job.isEnding) return
    coordinator.abandon(id, this.#dispatch.now())
    this.#dispatch.act()
    await (job.canceling ?? this.#told(job))
  }

  /** A full disk keeps the end for later; who asked is told at once. */
  #told(live: LiveJob): Promise<void> {
    return live.isEnding ? this.#parts.store.whileUp(endOf(live)) : Promise.resolve()
  }

  /** Without its body. */
  async byKey(tenant: TenantId, key: string): Promise<JobId | null> {
    return this.#intake.byKey(tenant, key)?.id ?? null
  }

  async get(id: JobId): Promise<Job | null> {
    const live = this.#parts.live.get(id)
    return live === undefined ? this.#parts.jobs.get(id) : this.#parts.live.show(live)
  }

  async request(id: JobId): Promise<Uint8Array | null> {
    const live = this.#parts.live.get(id)
    if (live?.log.held === true) return live.body
    return (await this.get(id)) === null ? null : this.#parts.jobs.body(this.#parts.jobs.positions.of(id)!)
  }

  async list(filter: JobFilter): Promise<readonly Job[]> {
    const { store, clock, live, jobs, logs } = this.#parts
    logs.keepHeld(Infinity)
    // Also where nothing can be stored: then it tells what was
    await new Promise((done) => store.whenCommitted(done, false))
    return listJobs(store.db, jobs.positions, clock, live, filter, (detail) => store.warn('job_damaged', detail))
  }

  async places(jobs: readonly JobId[]): Promise<ReadonlyMap<JobId, Place>> {
    return this.#parts.coordinator.places(jobs, this.#dispatch.now())
  }

  watchPlace(job: JobId, listener: (place: Place) => void): () => void {
    return this.#placeWatch.watch(job, listener)
  }

  erase(id: JobId): Promise<boolean> {
    return this.#parts.store.ifUp(() => this.eraseAnyway(id))
  }

  /** Also where the store is down: part of what waits for it already. */
  async eraseAnyway(id: JobId): Promise<boolean> {
    const { store, jobs, logs, conversations } = this.#parts
    await this.ended(id)
    const order = this.#parts.jobs.positions.of(id)
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
    await new Promise((done) => live.accepted.when(done))
    if (this.#parts.live.get(id) !== live) return
    await this.cancel(id)
    await this.#parts.store.whileUp(endOf(live))
  }

  // ------------------------------------------------------------ the operator's

  pause(selector: Selector): Promise<void> {
    return this.#parts.store.ifUp(() => {
      for (const each of laneNames(selector)) this.#parts.coordinator.pause(each, this.#dispatch.now())
      this.#dispatch.act()
      return this.#pauses.add(selector)
    })
  }

  resume(selector: Selector): Promise<void> {
    return this.#parts.store.ifUp(async () => {
      await this.#pauses.remove(selector)
      for (const each of laneNames(selector)) this.#parts.coordinator.resume(each, this.#dispatch.now())
      this.#dispatch.act()
    })
  }

  async paused(): Promise<readonly Selector[]> {
    return this.#pauses.list()
  }

  purge(selector: Selector): Promise<number> {
    return this.#parts.store.ifUp(async () => {
      const { coordinator, live } = this.#parts
      let purged = 0
      // What comes in meanwhile is not meant
      let left = live.size
      for (const each of laneNames(selector))
        while (left > 0) {
          const ids = coordinator.purge(each, this.#dispatch.now(), Math.min(left, PURGED_AT_ONCE))
          this.#dispatch.act()
          await Promise.all(ids.map((id) => endOf(live.get(id))))
          purged += ids.length
          left -= ids.length
          if (ids.length < PURGED_AT_ONCE) break
        }
      return purged
    })
  }

  async depth(): Promise<QueueDepth> {
    return this.#parts.coordinator.depth()
  }

  async backlog(): Promise<readonly Backlog[]> {
    return this.#parts.coordinator.backlog()
  }

  async line(by: RowKind, most: LineBounds): Promise<Line> {
    const { coordinator, clock } = this.#parts
    return coordinator.line(by, most, this.#dispatch.now(), clock.wallMs())
  }

  async standing(tenant: TenantId): Promise<TenantStanding> {
    return this.#parts.coordinator.tenantStanding(tenant, this.#dispatch.now())
  }

  async runUse(tenant: TenantId, run: string): Promise<RunUse | null> {
    return this.#parts.coordinator.runUse(tenant, run)
  }

  async fullest(tenants: readonly TenantId[]): Promise<ReadonlyArray<LimitUse | null>> {
    return this.#parts.coordinator.fullest(tenants, this.#dispatch.now())
  }

  async deployments(): Promise<readonly DeploymentStatus[]> {
    return this.#parts.coordinator.status(this.#dispatch.now())
  }

  async explain(ask: RouteAsk): Promise<RouteTrace> {
    return this.#parts.coordinator.explain(ask, this.#dispatch.now())
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#placeWatch.stop()
  }
}
