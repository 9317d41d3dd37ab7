/**
 * When each job showed its first token, from one of its attempts to the next: the log tells what was shown, but not
 * when. Of this process only; after a crash the time to the first token is not known any more, and not made up.
 */
import type { JobId } from '../core/job.ts'

/** A job that is canceled between two attempts never says so here. */
const MAX_JOBS = 10_000

export class FirstTokens {
  readonly #mono = new Map<JobId, number>()

  of(job: JobId): number | null {
    return this.#mono.get(job) ?? null
  }

  keep(job: JobId, firstTokenMono: number): void {
    this.#mono.set(job, firstTokenMono)
    if (this.#mono.size > MAX_JOBS) for (const oldest of this.#mono.keys()) return void this.#mono.delete(oldest)
  }

  forget(job: JobId): void {
    this.#mono.delete(job)
  }
}
