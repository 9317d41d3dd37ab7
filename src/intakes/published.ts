/** Jobs that this process has published, and that the coordinator does not own yet, as far as it knows. */
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

export interface Told {
  /** As it was told; of epoch 0, as it has no log yet. */
  readonly job: Job
  readonly order: string
  isCanceled: boolean
  /** What became of it; null: nobody knows yet. */
  outcome: Submitted | null
  readonly waiting: Set<(outcome: Submitted) => void>
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
  /** Those that somebody waits for. */
  readonly #waited = new Map<JobId, Told>()
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
      this.#end(oldest, { kind: 'refused', error: notArrived() })
    }
    const told: Told = { job, order, isCanceled: false, outcome: null, waiting: new Set() }
    this.#told.set(job.id, told)
    return told
  }

  /** It was not published, or is no longer there. */
  forget(id: JobId): void {
    const told = this.#told.get(id)
    if (told !== undefined) this.#end(told, { kind: 'refused', error: new SluiceError('job_gone') })
  }

  /** What became of it. */
  settle(id: JobId, outcome: Submitted): void {
    const told = this.#told.get(id)
    if (told !== undefined) this.#end(told, outcome)
  }

  /** Resolves when it is owned or refused; with null after `withinMs`, or once `signal` is aborted. */
  outcome(told: Told, withinMs: number, signal?: AbortSignal): Promise<Submitted | null> {
    if (told.outcome !== null) return Promise.resolve(told.outcome)
    if (signal?.aborted === true) return Promise.resolve(null)
    return new Promise((resolve) => {
      const { job, waiting } = told
      const tell = (outcome: Submitted | null): void => {
        if (!waiting.delete(tell)) return
        stop()
        signal?.removeEventListener('abort', leave)
        if (waiting.size === 0) this.#leave(job.id)
        resolve(outcome)
      }
      const leave = (): void => tell(null)
      waiting.add(tell)
      this.#waited.set(job.id, told)
      const stop = this.#clock.after(withinMs, leave)
      signal?.addEventListener('abort', leave)
      if (this.#isOneOfMany) this.#stopPolling ??= this.#clock.every(POLL_MS, () => void this.#poll())
    })
  }

  #end(told: Told, outcome: Submitted): void {
    this.#told.delete(told.job.id)
    told.outcome = outcome
    for (const tell of [...told.waiting]) tell(outcome)
  }

  #leave(id: JobId): void {
    this.#waited.delete(id)
    if (this.#waited.size > 0) return
    this.#stopPolling?.()
    this.#stopPolling = null
  }

  async #poll(): Promise<void> {
    if (this.#isPolling) return
    this.#isPolling = true
    const next = [...this.#waited.values().take(POLLED)]
    for (const told of next) {
      this.#waited.delete(told.job.id)
      this.#waited.set(told.job.id, told)
    }
    await Promise.all(next.map((told) => this.#look(told)))
    this.#isPolling = false
  }

  async #look(told: Told): Promise<void> {
    const { id } = told.job
    try {
      const job = await this.#jobs.get(id)
      if (job === null) return
      const place = (await this.#jobs.places([id])).get(id) ?? { position: 0, tokensAhead: 0 }
      this.#end(told, { kind: 'accepted', job, place })
    } catch {
      // The store is away: it is asked again
    }
  }

  close(): void {
    for (const told of [...this.#waited.values()])
      this.#end(told, { kind: 'refused', error: new SluiceError('draining') })
  }
}

export const notArrived = (): SluiceError => new SluiceError('not_arrived', { retryAfterMs: 2_000 })
