/** Jobs that this process has published, and that the coordinator does not own yet, as far as it knows. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submitted } from '../core/ports/submissions.ts'

/** Of the others it is known when they are owned. */
const MOST = 10_000
const POLL_MS = 100
/** Looked up in one round. */
const POLLED = 200

export interface Told {
  /** As it was told; of epoch 0, as it has no log yet. */
  readonly job: Job
  readonly order: string
  isCanceled: boolean
  /** What it was refused for. */
  refused: SluiceError | null
  readonly waiting: Set<(outcome: Submitted) => void>
}

export class Published {
  readonly #jobs: Pick<Jobs, 'get' | 'places'>
  readonly #clock: Clock
  /** Another process may take them: then only the store tells. */
  readonly #isOneOfMany: boolean
  readonly #told = new Map<JobId, Told>()
  #waiting = 0
  #stopPolling: (() => void) | null = null
  #isPolling = false

  constructor(jobs: Pick<Jobs, 'get' | 'places'>, clock: Clock, isOneOfMany: boolean) {
    this.#jobs = jobs
    this.#clock = clock
    this.#isOneOfMany = isOneOfMany
  }

  get(id: JobId): Told | null {
    return this.#told.get(id) ?? null
  }

  /** Before it is published: a delivery may be faster than its confirm. */
  add(job: Job, order: string): Told {
    for (const [id, { waiting }] of this.#told) {
      if (this.#told.size < MOST) break
      if (waiting.size === 0) this.#told.delete(id)
    }
    const told: Told = { job, order, isCanceled: false, refused: null, waiting: new Set() }
    this.#told.set(job.id, told)
    return told
  }

  /** It was not published. */
  forget(id: JobId): void {
    this.#told.delete(id)
  }

  /** What became of it. One that was refused is shown so, while there is room. */
  settle(id: JobId, outcome: Submitted): boolean {
    const told = this.#told.get(id)
    if (told === undefined) return false
    if (outcome.kind === 'refused') told.refused = outcome.error
    else this.#told.delete(id)
    const isAsked = told.waiting.size > 0
    for (const tell of [...told.waiting]) tell(outcome)
    return isAsked
  }

  /** Resolves when it is owned or refused; with null after `withinMs`. */
  outcome({ job, waiting, refused }: Told, withinMs: number): Promise<Submitted | null> {
    if (refused !== null) return Promise.resolve({ kind: 'refused', error: refused })
    return new Promise((resolve) => {
      const tell = (outcome: Submitted | null): void => {
        if (!waiting.delete(tell)) return
        stop()
        this.#waiting--
        resolve(outcome)
        if (this.#waiting === 0) {
          this.#stopPolling?.()
          this.#stopPolling = null
        }
      }
      waiting.add(tell)
      this.#waiting++
      const stop = this.#clock.after(withinMs, () => tell(null))
      if (!this.#told.has(job.id)) void this.#look(job.id, waiting)
      if (this.#isOneOfMany) this.#stopPolling ??= this.#clock.every(POLL_MS, () => void this.#poll())
    })
  }

  async #poll(): Promise<void> {
    if (this.#isPolling) return
    this.#isPolling = true
    try {
      let left = POLLED
      for (const [id, { waiting }] of this.#told) {
        if (waiting.size === 0) continue
        await this.#look(id, waiting)
        if (--left === 0) break
      }
    } finally {
      this.#isPolling = false
    }
  }

  async #look(id: JobId, waiting: Told['waiting']): Promise<void> {
    try {
      const job = await this.#jobs.get(id)
      if (job === null) return
      const place = (await this.#jobs.places([id])).get(id) ?? { position: 0, tokensAhead: 0 }
      this.#told.delete(id)
      for (const tell of [...waiting]) tell({ kind: 'accepted', job, place })
    } catch {
      // The store is away: it is asked again
    }
  }

  close(): void {
    this.#stopPolling?.()
    for (const { waiting } of this.#told.values())
      for (const tell of [...waiting]) tell({ kind: 'refused', error: new SluiceError('draining') })
  }
}
