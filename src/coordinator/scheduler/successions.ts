/** Who waits for whom to end. A job comes after older ones only, so there are no circles. */
import type { JobId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'

interface Follower {
  /** Jobs that it still waits for; counted here, and by whoever takes it. */
  waitsFor: number
}

const NOBODY: readonly never[] = []

export class Successions<T extends Follower> {
  /** Those that have ended meanwhile are still among them. */
  readonly #followers = new Table<JobId, T[]>()

  add(before: JobId, follower: T): void {
    follower.waitsFor++
    const known = this.#followers.get(before)
    if (known === undefined) this.#followers.set(before, [follower])
    else known.push(follower)
  }

  /** Who waits for a job that has ended; it is forgotten. */
  take(before: JobId): readonly T[] {
    const followers = this.#followers.get(before)
    if (followers === undefined) return NOBODY
    this.#followers.delete(before)
    return followers
  }
}
