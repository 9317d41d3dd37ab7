/** A job that has not ended, or whose end is not told yet. */
import type { SluiceError } from '../../../core/errors.ts'
import { isTerminal, type Job, type JobId, type JobState, type Place, type TenantId } from '../../../core/job.ts'
import type { Amounts } from '../../../core/limits.ts'
import { Once } from '../../../core/once.ts'
import type { Coordinator } from '../../../core/ports/coordinator.ts'
import { Table } from '../../../core/table.ts'
import { Spent } from '../../shared/spent.ts'
import type { LiveLog } from '../log/live-log.ts'
import { NO_BODY } from './jobs.ts'

/** Bodies up to this, and as long as all of them take no more than that, wait in memory for their lease. */
const KEPT_BODY_BYTES = 64 << 10
const KEPT_BODIES_BYTES = 64 << 20

export class LiveJob {
  /** As it was when it was accepted, or found at the start; without its body. */
  readonly job: Job
  readonly log: LiveLog
  /** Attempts begun. */
  attempts: number
  /** Its request while it waits in memory for a lease; empty: it must be read. */
  body: Uint8Array
  /** When it was accepted, by the age of the store. */
  readonly acceptedAge: number
  /**
   * A plain POST for a document: nothing of it is promised or shown before its end. If it is leased at once, all of it
   * is stored with that.
   */
  readonly isBrief: boolean
  /** What it holds while it waits for its first lease, as its acceptance told. */
  readonly reservation: Amounts | null
  /** How long it took to decide on its submit: a part of its admission, not of its time in line. */
  readonly admittingMs: number
  /** Accepted (null), or what refused it. */
  readonly accepted = new Once<SluiceError | null>()
  /** Its row is there, or comes with the next commit. */
  isStored = false
  /** An attempt of it died with the last process, and is not booked yet. */
  isUnbooked = false
  isEnding = false
  /** Its end is told (null), or can't be stored. */
  readonly ended = new Once<SluiceError | null>()
  /** Resolves when it is stored that it is to be canceled. Null: it is not. */
  canceling: Promise<void> | null = null
  /** The attempt that is leased and not handed out yet, and the one that was revoked before it was. 0: none. */
  leasing = 0
  revoked = 0
  /** What its worker had of the request when it ended it, and the assistant's message. */
  leasedBody: Uint8Array | null = null
  answer: string | null = null
  readonly spent: Spent

  constructor(
    job: Job,
    log: LiveLog,
    body: Uint8Array,
    acceptedAge: number,
    isBrief = false,
    reservation: Amounts | null = null,
    admittingMs = 0,
  ) {
    this.job = job
    this.reservation = reservation
    this.admittingMs = admittingMs
    this.acceptedAge = acceptedAge
    this.isBrief = isBrief
    this.log = log
    this.attempts = job.attempts
    this.spent = new Spent(job.attempts === 0)
    this.body = body
  }
}

export class LiveJobs {
  readonly #jobs = new Table<JobId, LiveJob>()
  /** Those of each conversation, in their order. */
  readonly #byConversation = new Table<string, Set<LiveJob>>()
  /** How many come after each. */
  readonly #followers = new Table<JobId, number>()
  readonly #coordinator: Pick<Coordinator, 'state' | 'places'>
  #bodyBytes = 0

  constructor(coordinator: Pick<Coordinator, 'state' | 'places'>) {
    this.#coordinator = coordinator
  }

  get size(): number {
    return this.#jobs.size
  }

  get(id: JobId): LiveJob | undefined {
    return this.#jobs.get(id)
  }

  /** Does one of them come after that job, and may ask for its answer? */
  isAwaited(id: JobId): boolean {
    return this.#followers.get(id) !== undefined
  }

  values(): Iterable<LiveJob> {
    return this.#jobs.values()
  }

  add(live: LiveJob): void {
    this.#jobs.set(live.job.id, live)
    for (const id of live.job.after ?? []) this.#followers.set(id, (this.#followers.get(id) ?? 0) + 1)
    const { conversation } = live.job.options
    if (conversation !== undefined) {
      const key = conversationKey(live.job.tenant, conversation)
      const beside = this.#byConversation.get(key)
      if (beside === undefined) this.#byConversation.set(key, new Set([live]))
      else beside.add(live)
    }
    this.#bodyBytes += live.body.length
  }

  delete(live: LiveJob): void {
    this.#jobs.delete(live.job.id)
    for (const id of live.job.after ?? []) {
      const others = this.#followers.get(id)! - 1
      if (others > 0) this.#followers.set(id, others)
      else this.#followers.delete(id)
    }
    const { conversation } = live.job.options
    if (conversation !== undefined) {
      const key = conversationKey(live.job.tenant, conversation)
      const beside = this.#byConversation.get(key)
      if (beside?.delete(live) && beside.size === 0) this.#byConversation.delete(key)
    }
    this.dropBody(live)
  }

  ofConversation(tenant: TenantId, conversation: string): Iterable<LiveJob> {
    return this.#byConversation.get(conversationKey(tenant, conversation)) ?? []
  }

  /** Safe to drop its body from memory. */
  committed(live: LiveJob): void {
    if (live.body.length > KEPT_BODY_BYTES || this.#bodyBytes > KEPT_BODIES_BYTES) this.dropBody(live)
  }

  dropBody(live: LiveJob): void {
    this.#bodyBytes -= live.body.length
    live.body = NO_BODY
  }

  places(jobs: readonly Job[], now: number): ReadonlyMap<JobId, Place> {
    return this.#coordinator.places(
      jobs.map(({ id }) => id),
      now,
    )
  }

  /** As clients may see it, without its body: an end is not said before it is power-safe. */
  show(live: LiveJob): Job {
    const { job, attempts } = live
    const state = this.#coordinator.state(job.id)
    const known: JobState = state !== null && !isTerminal(state) ? state : attempts > 0 ? 'leased' : 'queued'
    return known === job.state && attempts === job.attempts ? job : { ...job, attempts, state: known }
  }
}

const conversationKey = (tenant: TenantId, conversation: string): string => `${tenant}\n${conversation}`
