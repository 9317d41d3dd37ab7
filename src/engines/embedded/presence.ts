/** Who reads which job, in the one process there is. */
import type { Clock } from '../../core/clock.ts'
import type { Job, JobId } from '../../core/job.ts'
import type { Presence } from '../../core/ports/presence.ts'
import { Table } from '../../core/table.ts'
import { Readers } from '../shared/readers.ts'

type Attended = Pick<Job, 'id' | 'options'>

export class EmbeddedPresence implements Presence {
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #cancel: (job: JobId) => void
  readonly #readers = new Readers()
  readonly #leaving = new Table<JobId, () => void>()
  #closed = false

  constructor(clock: Clock, graceMs: number, cancel: (job: JobId) => void) {
    this.#clock = clock
    this.#graceMs = graceMs
    this.#cancel = cancel
  }

  enter(job: Attended): (complete: boolean, goneMs?: number) => void {
    const { id } = job
    this.#leaving.get(id)?.()
    this.#leaving.delete(id)
    return this.#readers.enter(id, (complete, goneMs) => {
      if (!complete) this.#left(job, goneMs)
    })
  }

  /** After a restart: its readers are gone, and have the grace to come back. */
  expect(job: Attended): void {
    if (this.readers(job.id) === 0) this.#left(job)
  }

  readers(job: JobId): number {
    return this.#readers.of(job)
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
