/** The attempts that this process holds, and those that lately ended here. */
import type { JobId } from '../../../core/job.ts'
import type { Worker } from '../../../core/ports/work.ts'
import { Table } from '../../../core/table.ts'

/** A worker of this process, as the coordinator knows it. */
export interface Seat {
  /** "<process>.<n>" */
  readonly id: string
  worker: Worker
  slots: number
  /** Grows with each change. */
  version: number
  /** It gave a sign of life since the last heartbeat. */
  isAlive: boolean
}

export interface Held {
  readonly seat: Seat
  readonly id: JobId
  readonly attempt: number
  /** Output tokens that it has stored. */
  streamed: number
  /** Its end is on its way. */
  isFinishing: boolean
  /** Its worker was told to stop. */
  isRevoked: boolean
}

/** Ended attempts that are remembered, at least. */
const REMEMBERED = 2_048

export const attemptKey = (id: JobId, attempt: number): string => `${id} ${attempt}`

export class HeldAttempts {
  readonly #held = new Table<string, Held>()
  /** Output tokens of each. */
  #over = new Table<string, number>()
  #overBefore = new Table<string, number>()

  get(id: JobId, attempt: number): Held | undefined {
    return this.#held.get(attemptKey(id, attempt))
  }

  add(seat: Seat, id: JobId, attempt: number): void {
    this.#held.set(attemptKey(id, attempt), { seat, id, attempt, streamed: 0, isFinishing: false, isRevoked: false })
  }

  /** Of all that have stored any: [job, attempt, output tokens]. */
  streamed(): ReadonlyArray<readonly [JobId, number, number]> {
    return [...this.#held.values()].flatMap(({ id, attempt, streamed }) =>
      streamed === 0 ? [] : [[id, attempt, streamed] as const],
    )
  }

  of(seat: Seat): readonly Held[] {
    return [...this.#held.values()].filter((held) => held.seat === seat)
  }

  /** It may never run again, even where its lease is told once more. */
  end({ id, attempt, streamed }: Held): void {
    const key = attemptKey(id, attempt)
    this.#held.delete(key)
    this.#over.set(key, streamed)
    if (this.#over.size < REMEMBERED) return
    this.#overBefore = this.#over
    this.#over = new Table<string, number>()
  }

  /** Output tokens that it had stored; undefined: it did not run here, as far as is remembered. */
  over(id: JobId, attempt: number): number | undefined {
    const key = attemptKey(id, attempt)
    return this.#over.get(key) ?? this.#overBefore.get(key)
  }
}
