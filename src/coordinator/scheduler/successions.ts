/** Who waits for whom to end. A job comes after older ones only, so there are no circles. */
import type { JobId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'

interface Follower {
  /** Jobs that it still waits for; counted here, and by whoever takes it. */
  waitsFor: number
}

const NOBODY: readonly never[] = []
/** Answers are remembered in two generations of this many each: who comes after one has seen it end a moment ago. */
const GENERATION = 10_000

export class Successions<T extends Follower> {
  /** Those that have ended meanwhile are still among them. */
  readonly #followers = new Table<JobId, T[]>()
  #said = new Map<JobId, number>()
  #saidEarlier = new Map<JobId, number>()

  add(before: JobId, follower: T): void {
    follower.waitsFor++
    const known = this.#followers.get(before)
    if (known === undefined) this.#followers.set(before, [follower])
    else known.push(follower)
  }

  /** Tokens of the answer of a job that was done a short while ago; else 0. */
  saidBy(id: JobId): number {
    return this.#said.get(id) ?? this.#saidEarlier.get(id) ?? 0
  }

  /** Who waits for a job that is done, with an answer of so many tokens. */
  done(id: JobId, saidTokens: number): readonly T[] {
    if (this.#said.size >= GENERATION) {
      this.#saidEarlier = this.#said
      this.#said = new Map()
    }
    this.#said.set(id, saidTokens)
    return this.take(id)
  }

  /** Who waits for a job that has ended; it is forgotten. */
  take(before: JobId): readonly T[] {
    const followers = this.#followers.get(before)
    if (followers === undefined) return NOBODY
    this.#followers.delete(before)
    return followers
  }
}
