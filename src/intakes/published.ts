/**
 * Jobs that this process has published, and that the coordinator does not own yet, as far as it knows; and who waits
 * for one to be owned, whoever has published it.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submitted } from '../core/ports/submissions.ts'

/** The oldest of more is forgotten, and who waits for it told that it has not arrived. */
const MOST = 10_000
const POLL_MS = 100
/** Looked up in one round, those that were not for longest. */
const POLLED = 200

interface Awaited {
  readonly id: JobId
  /** What became of it; null: nobody knows yet. */
  outcome: Submitted | null
  readonly waiting: Set<(outcome: Submitted) => void>
}

export interface Told extends Awaited {
  /** As it was told; of epoch 0, as it has no log yet. */
  readonly job: Job
  readonly order: string
  isCanceled: boolean
}

export interface PublishedOptions {
  readonly jobs: Pick<Jobs, 'get' | 'places'>
  readonly clock: Clock
  /** Another process may take them: then only the store tells. */
  readonly isOneOfMany: boolean
  /** How many it knows at most; absent: 10,000. */
  readonly most?: number
}

export class Published {
  readonly #jobs: Pick<Jobs, 'get' | 'places'>
  readonly #clock: Clock
  readonly #isOneOfMany: boolean
  readonly #most: number
  readonly #told = new Map<JobId, Told>()
  /** Those that somebody looks for by their id, whoever has published them. */
  readonly #sought = new Map<JobId, Awaited>()
  /** Those that somebody waits for. */
  readonly #waited = new Set<Awaited>()
  readonly #abandoned = new Set<JobId>()
  /** That have come, or come no more. */
  readonly #over = new Set<JobId>()
  #stopPolling: (() => void) | null = null
  #isPolling = false

  constructor({ jobs, clock, isOneOfMany, most = MOST }: PublishedOptions) {
    this.#jobs = jobs
    this.#clock = clock
    this.#isOneOfMany = isOneOfMany
    this.#most = most
  }

  get(id: JobId): Told | null {
    return this.#told.get(id) ?? null
  }

  /** Before it is published: a delivery may be faster than its confirm. */
  add(job: Job, order: string): Told {
    for (const oldest of this.#told.values()) {
      if (this.#told.size < this.#most) break
      this.#told.delete(oldest.id)
      this.#end(oldest, { kind: 'refused', error: notArrived() })
    }
    const told: Told = { id: job.id, job, order, isCanceled: false, outcome: null, waiting: new Set() }
    this.#told.set(job.id, told)
    return told
  }

  /** It was not published, or is no longer there. */
  forget(id: JobId): void {
    this.settle(id, { kind: 'refused', error: new SluiceError('job_gone') })
  }

  /** Nobody knows whether the broker has it, and its client was told to come again: it is not to run. */
  abandon(id: JobId): void {
    this.forget(id)
    this.#note(this.#abandoned, id)
  }

  /** It has come, or comes no more, as far as this process remembers. */
  isOver(id: JobId): boolean {
    return this.#over.has(id)
  }

  #note(ids: Set<JobId>, id: JobId): void {
    ids.add(id)
    for (const oldest of ids) {
      if (ids.size <= this.#most) break
      ids.delete(oldest)
    }
  }

  isCanceled(id: JobId): boolean {
    return this.#told.get(id)?.isCanceled === true || this.#abandoned.has(id)
  }

  /** What became of it. */
  settle(id: JobId, outcome: Submitted): void {
    this.#note(this.#over, id)
    for (const each of [this.#told, this.#sought]) {
      const awaited = each.get(id)
      each.delete(id)
      if (awaited !== undefined) this.#end(awaited, outcome)
    }
  }

  /** Resolves when it is owned or refused; with null after `withinMs`, or once `signal` is aborted. */
  outcome(of: Awaited, withinMs: number, signal?: AbortSignal): Promise<Submitted | null> {
    if (of.outcome !== null) return Promise.resolve(of.outcome)
    if (signal?.aborted === true) return Promise.resolve(null)
    return new Promise((resolve) => {
      const { waiting } = of
      const tell = (outcome: Submitted | null): void => {
        if (!waiting.delete(tell)) return
        stop()
        signal?.removeEventListener('abort', leave)
        if (waiting.size === 0) this.#leave(of)
        resolve(outcome)
      }
      const leave = (): void => tell(null)
      waiting.add(tell)
      this.#waited.add(of)
      const stop = this.#clock.after(withinMs, leave)
      signal?.addEventListener('abort', leave)
      if (this.#isOneOfMany) this.#stopPolling ??= this.#clock.every(POLL_MS, () => void this.#poll())
    })
  }

  /** The job as soon as it is owned; null after `withinMs`, once `signal` is aborted, or where it comes no more. */
  async arrived(id: JobId, withinMs: number, signal?: AbortSignal): Promise<Job | null> {
    if (signal?.aborted === true) return null
    const known = this.#sought.get(id)
    const sought: Awaited = known ?? { id, outcome: null, waiting: new Set() }
    if (known === undefined) this.#sought.set(id, sought)
    const outcome = this.outcome(sought, withinMs, signal)
    // It may have come before anybody waited
    if (known === undefined) void this.#look(sought)
    const told = await outcome
    return told?.kind === 'accepted' ? told.job : null
  }

  #end(of: Awaited, outcome: Submitted): void {
    of.outcome = outcome
    for (const tell of [...of.waiting]) tell(outcome)
  }

  #leave(of: Awaited): void {
    this.#waited.delete(of)
    if (this.#sought.get(of.id) === of) this.#sought.delete(of.id)
    if (this.#waited.size > 0) return
    this.#stopPolling?.()
    this.#stopPolling = null
  }

  async #poll(): Promise<void> {
    if (this.#isPolling) return
    this.#isPolling = true
    const next = [...this.#waited.values().take(POLLED)]
    for (const each of next) {
      this.#waited.delete(each)
      this.#waited.add(each)
    }
    await Promise.all(next.map((each) => this.#look(each)))
    this.#isPolling = false
  }

  async #look({ id }: Awaited): Promise<void> {
    try {
      const job = await this.#jobs.get(id)
      if (job === null) return
      const place = (await this.#jobs.places([id])).get(id) ?? { position: 0, tokensAhead: 0 }
      this.settle(id, { kind: 'accepted', job, place })
    } catch {
      // The store is away: it is asked again
    }
  }

  close(): void {
    for (const { id } of [...this.#waited]) this.settle(id, { kind: 'refused', error: new SluiceError('draining') })
  }
}

export const notArrived = (): SluiceError => new SluiceError('not_arrived', { retryAfterMs: 2_000 })
