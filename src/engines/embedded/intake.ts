/** How a draft becomes a job: the coordinator decides, the store commits, and what can't be stored was never there. */
import { SluiceError } from '../../core/errors.ts'
import { type Ids, jobOrder } from '../../core/ids.ts'
import type { Job, JobDraft, JobId, Place, TenantId } from '../../core/job.ts'
import type { Standing } from '../../core/limits.ts'
import type { Decision } from '../../core/ports/coordinator.ts'
import type { Begun, Submitted } from '../../core/ports/submissions.ts'
import { Table } from '../../core/table.ts'
import { joinKeyOf, scheduled } from '../shared/scheduled.ts'
import type { Synced } from './disk/syncs.ts'
import type { Dispatch } from './dispatch.ts'
import { NO_BODY } from './jobs/jobs.ts'
import { LiveJob } from './jobs/live-job.ts'
import type { Orders } from './jobs/orders.ts'
import { LiveLog } from './log/live-log.ts'
import type { Parts } from './parts.ts'

/** When to come back during the start. */
const STARTING_MS = 1_000
/** Where a job stands that is not in line. */
const NOWHERE: Place = { position: 0, tokensAhead: 0 }

type Accepted = Extract<Decision, { kind: 'accepted' }>
/** It is stored, with its end. */
const REFUSED: Accepted = { kind: 'accepted', reservation: null, standing: [] }

/** As it is told; nothing where nothing is limited. */
interface Left {
  readonly standing?: Standing
}
const UNLIMITED: Left = {}
const leftOf = (standing: Standing): Left => (standing.length === 0 ? UNLIMITED : { standing })

/** `live`: the job, unless it has ended. */
type Told = (result: Begun, live: LiveJob | null) => void

interface Reserved {
  readonly id: JobId
  readonly order: number
  /** Of its id, where that is another one: what was moved here stands there. */
  readonly ofId?: number
  /** It ends with this; absent: it comes in line. */
  readonly refused?: SluiceError | undefined
}

interface Known {
  readonly id: JobId
  readonly sameBody: boolean
}

export class Intake {
  readonly #parts: Parts
  readonly #ids: Ids
  readonly #orders: Orders
  readonly #dispatch: Dispatch
  /** The epoch of a job of this order. */
  readonly #epochOf: (order: number) => number
  /** Submitted under an idempotency key, and not yet committed. */
  readonly #keys = new Table<string, LiveJob>()
  /** Tenants of which nothing may be added until they are erased. */
  readonly erasing = new Map<TenantId, Promise<void>>()
  /** Jobs that ended well shortly before a restart, by their join key (J4). */
  readonly joinable: Map<string, { readonly id: JobId; readonly untilMono: number }>
  /** All that was there at the start is in line again. */
  open = false

  constructor(
    parts: Parts,
    ids: Ids,
    orders: Orders,
    dispatch: Dispatch,
    epochOf: (order: number) => number,
    joinable: Map<string, { readonly id: JobId; readonly untilMono: number }>,
  ) {
    this.#parts = parts
    this.#ids = ids
    this.#orders = orders
    this.#dispatch = dispatch
    this.#epochOf = epochOf
    this.joinable = joinable
  }

  /** All of them, with one sync. `refused`: they end with this. */
  takeAll(drafts: readonly JobDraft[], ids?: readonly JobId[], refused?: SluiceError): Promise<readonly Submitted[]> {
    if (drafts.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const results: Submitted[] = []
      let left = drafts.length
      let wasHeld = false
      const synced = (error: SluiceError | null): void => (error === null ? resolve(results) : reject(error))
      const told = (): void => {
        if (results.every(({ kind }) => kind === 'refused')) resolve(results)
        else if (wasHeld) this.#afterCommit(synced)
        else this.#parts.store.whenSynced(synced)
      }
      for (const [i, draft] of drafts.entries()) {
        const tell: Told = (result, live) => {
          if (live?.log.held === true) {
            wasHeld = true
            this.#parts.logs.keep(live.log)
          }
          if (result.kind === 'refused') results[i] = result
          else results[i] = live === null ? { ...result, place: NOWHERE } : { ...result, ...this.#shown(live) }
          if (--left === 0) told()
        }
        if (ids === undefined) this.take(draft, tell)
        else this.#takeAs(ids[i], draft, tell, refused)
      }
    })
  }

  reserve(n: number): readonly JobId[] {
    return Array.from({ length: n }, () => this.#ids.job(this.#orders.next(this.#parts.store)))
  }

  /** One of `reserve`, perhaps of an earlier life of the folder. */
  #takeAs(id: JobId, draft: JobDraft, told: Told, refused?: SluiceError): void {
    const { store, live, jobs } = this.#parts
    const order = jobOrder(id)
    if (order === null || store.down !== null || !this.open) return this.take(draft, told)
    const running = live.get(id)
    if (running !== undefined)
      return this.#join(running, UNLIMITED, (result, there) =>
        told(result.kind === 'joined' ? { ...result, kind: 'accepted' } : result, there),
      )
    try {
      const job = jobs.get(id)
      if (job !== null) return told({ kind: 'accepted', job }, null)
      if (jobs.positions.isTaken(order))
        return this.take(draft, told, false, { id, order: this.#orders.next(store), refused, ofId: order })
      if (jobs.has(order)) return told({ kind: 'refused', error: new SluiceError('job_lost') }, null)
    } catch (thrown) {
      return told({ kind: 'refused', error: SluiceError.from(thrown) }, null)
    }
    this.#orders.seen(order, store)
    this.take(draft, told, false, { id, order, refused })
  }

  /** Power-safe after the next commit. */
  #afterCommit(synced: Synced): void {
    const { store } = this.#parts
    store.whenCommitted((error) => (error === null ? store.whenSynced(synced) : synced(error)), true)
  }

  /** A job that was begun, and perhaps held, is to be power-safe. */
  power(live: LiveJob): Promise<void> {
    this.#parts.logs.keep(live.log)
    return new Promise((resolve, reject) => this.#afterCommit((error) => (error === null ? resolve() : reject(error))))
  }

  /** Its log was held, and is no longer: its row comes with the next commit. */
  keep(live: LiveJob): void {
    const { store, jobs, live: all } = this.#parts
    live.isStored = true
    store.write({
      keep: true,
      apply: () => jobs.insert(live, false),
      done: (error) => {
        if (error === null) {
          store.wrote(live.body.length)
          all.dropBody(live)
        } else live.log.held = true // with its end
      },
    })
  }

  /**
   * `told` is called when it is committed. With `isBrief` a plain POST for a document that can be leased at once is not
   * stored before its end, or `power`.
   */
  take(draft: JobDraft, told: Told, isBrief = false, as: Reserved | null = null): void {
    const { store, coordinator, live, jobs } = this.#parts
    const refuse = (error: SluiceError): void => told({ kind: 'refused', error }, null)
    if (store.down !== null) return refuse(store.down)
    if (!this.open) return refuse(new SluiceError('starting', { retryAfterMs: STARTING_MS }))
    if (this.erasing.has(draft.tenant)) return refuse(ERASING)
    const now = this.#dispatch.now()
    let known: Known | undefined
    try {
      known = this.#known(draft, now)
    } catch (error) {
      return refuse(SluiceError.from(error))
    }
    const { order, id, refused } = as ?? this.#next()
    if (refused !== undefined) coordinator.refuse(id, refused)
    const decision: Decision =
      refused === undefined
        ? coordinator.submit(scheduled(id, draft, draft.body.length, now), now, known, draft.isRetry)
        : REFUSED
    const ofId = as?.ofId
    if (decision.kind === 'accepted' && ofId !== undefined)
      store.write({ keep: false, apply: () => jobs.positions.put(order, ofId), done() {} })
    // Stored first: what is leased of it shares its commit
    if (decision.kind === 'accepted')
      this.#accept(id, order, draft, now, decision, told, isBrief && hasOnlyItsEnd(draft))
    this.#dispatch.act()
    if (decision.kind === 'accepted') return
    if (decision.kind === 'refused') return refuse(decision.error)
    const left = leftOf(decision.standing)
    const running = live.get(decision.id)
    if (running !== undefined) return this.#join(running, left, told)
    const job = jobs.get(decision.id)
    if (job !== null) told({ kind: 'joined', job, ...left }, null)
    // Kept no longer (retention 0, erased): a retry of it is a new job
    else if (draft.isRetry) this.take({ ...draft, isRetry: false }, told, isBrief, as)
    else refuse(new SluiceError('job_gone'))
  }

  #next(): Reserved {
    const order = this.#orders.next(this.#parts.store)
    return { order, id: this.#ids.job(order) }
  }

  /** Submitted under this idempotency key, and kept. Throws job_damaged. */
  byKey(tenant: TenantId, key: string): Job | null {
    return this.#keys.get(`${tenant}\n${key}`)?.job ?? this.#parts.jobs.byKey(tenant, key)
  }

  /**
   * What the store has under the draft's idempotency key, or as the job that an SDK's retry repeats. Throws
   * job_damaged.
   */
  #known(draft: JobDraft, now: number): Known | undefined {
    const { idempotencyKey } = draft.options
    if (idempotencyKey !== undefined) {
      const job = this.byKey(draft.tenant, idempotencyKey)
      // Another user's request is another request, even where an API key uses names of a user's name space (T1)
      const isSame = job?.bodyHash === draft.bodyHash && job.user === draft.user
      return job === null ? undefined : { id: job.id, sameBody: isSame }
    }
    if (!draft.isRetry || this.joinable.size === 0) return undefined
    const ended = this.joinable.get(joinKeyOf(draft))
    return ended === undefined || now > ended.untilMono ? undefined : { id: ended.id, sameBody: true }
  }

  #join(live: LiveJob, left: Left, told: Told): void {
    live.accepted.when((error) => {
      if (error !== null) told({ kind: 'refused', error }, live)
      else told({ kind: 'joined', job: this.#parts.live.show(live), ...left }, live)
    })
  }

  /** As it is now. */
  #shown(live: LiveJob): { readonly job: Job; readonly place: Place } {
    return {
      job: this.#parts.live.show(live),
      place: this.#parts.coordinator.places([live.job.id], this.#dispatch.now()).get(live.job.id) ?? NOWHERE,
    }
  }

  #accept(
    id: JobId,
    order: number,
    draft: JobDraft,
    now: number,
    { reservation, standing, cached }: Accepted,
    told: Told,
    isBrief: boolean,
  ): void {
    const { store, jobs, logs, conversations, live: all, clock, age } = this.#parts
    const epoch = this.#epochOf(order)
    const { body } = draft
    const acceptedAtMs = clock.wallMs()
    const admittingMs = clock.monoMs() - now
    const accepted = {
      ...draft,
      body: NO_BODY,
      id,
      state: 'queued',
      epoch,
      attempts: 0,
      acceptedAtMs,
      admissionMs: Math.round(((draft.admissionMs ?? 0) + admittingMs) * 100) / 100,
    } as const
    const job: Job = cached === undefined ? accepted : { ...accepted, cached }
    const log = new LiveLog(id, order, epoch)
    const live = new LiveJob(job, log, body, age.of(now), isBrief, reservation, admittingMs)
    all.add(live)
    logs.live.set(id, log)
    const key = draft.options.idempotencyKey === undefined ? null : `${draft.tenant}\n${draft.options.idempotencyKey}`
    if (key !== null) this.#keys.set(key, live)
    if (reservation !== null) this.#parts.bookings.addHold(log)
    store.write({
      keep: false,
      isEmpty: () => log.held,
      apply: () => {
        if (log.held) return
        jobs.insert(live, false)
        conversations.open(job, order)
      },
      done: (error) => {
        if (key !== null) this.#keys.delete(key)
        if (error !== null) this.#withdraw(live)
        else if (!log.held) {
          live.isStored = true
          store.wrote(body.length)
          all.committed(live)
          this.#announce(live)
        }
        if (error !== null) told({ kind: 'refused', error }, live)
        else told({ kind: 'accepted', job, ...leftOf(standing) }, live)
        live.accepted.tell(error)
      },
    })
  }

  /** Its conversation's watchers hear of it once it is power-safe, as its client does. */
  #announce(live: LiveJob): void {
    const { store, conversations } = this.#parts
    const { tenant, options } = live.job
    if (!conversations.news.isWatched(tenant, options.conversation)) return
    store.whenSynced((error) => {
      if (error === null)
        conversations.news.tell(tenant, options.conversation, { type: 'submitted', ...this.#shown(live) })
    })
  }

  #withdraw(live: LiveJob): void {
    const { id } = live.job
    live.log.attempt = 0
    this.#parts.live.delete(live)
    this.#parts.logs.forget(id)
    this.#parts.coordinator.withdraw(id)
    this.#dispatch.act()
  }
}

/** Nothing waits for it but its own call, and nothing is to be remembered of it before its end. */
const hasOnlyItsEnd = ({ document, kind, options }: JobDraft): boolean =>
  (document === true || kind === 'embedding') &&
  options.lane === undefined &&
  options.conversation === undefined &&
  options.idempotencyKey === undefined &&
  options.delayMs === undefined

const ERASING = new SluiceError('overloaded', { message: 'This tenant is being erased; retry later.' })
