/** Who reads which job, in the one process there is. */
import type { Clock } from '../../core/clock.ts'
import type { Job, JobId } from '../../core/job.ts'
import type { Presence } from '../../core/ports/presence.ts'
import { Table } from '../../core/table.ts'

type Attended = Pick<Job, 'id' | 'options'>

export class EmbeddedPresence implements Presence {
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #cancel: (job: JobId) => void
  readonly #present = new Table<JobId, number>()
  readonly #leaving = new Table<JobId, () => void>()
  #closed = false

  constructor(clock: Clock, graceMs: number, cancel: (job: JobId) => void) {
    this.#clock = clock
    this.#graceMs = graceMs
    this.#cancel = cancel
  }

  enter(job: Attended): (complete: boolean, goneMs?: number) => void {
    const { id } = job
    this.#present.set(id, this.readers(id) + 1)
    this.#leaving.get(id)?.()
    this.#leaving.delete(id)
    let here = true
    return (complete, goneMs = 0) => {
      if (!here) return
      here = false
      const others = this.readers(id) - 1
      if (others > 0) {
        this.#present.set(id, others)
        return
      }
      this.#present.delete(id)
      if (!complete) this.#left(job, goneMs)
    }
  }

  /** After a restart: its readers are gone, and have the grace to come back. */
  expect(job: Attended): void {
    if (!this.#present.has(job.id)) this.#left(job)
  }

  readers(job: JobId): number {
    return this.#present.get(job) ?? 0
  }

  close(): void {
    this.#closed = true
    for (const [id, stop] of this.#leaving.entries()) {
      stop()
      this.#leaving.delete(id)
    }
  }

  #left({ id, options }: Attended, goneMs = 0): void {
    if (this.#closed || options.onDisconnect !== 'cancel') return
    const stop = this.#clock.after(Math.max(0, this.#graceMs - goneMs), () => {
      this.#leaving.delete(id)
      this.#cancel(id)
    })
    this.#leaving.set(id, stop)
  }
}
