/** How many read which job in this process. */
import type { JobId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'

export class Readers {
  readonly #present = new Table<JobId, number>()

  of(job: JobId): number {
    return this.#present.get(job) ?? 0
  }

  /** One more. Returns the function that ends it, safe to repeat; `last` is called when nobody is left. */
  enter(job: JobId, last: (complete: boolean, goneMs: number) => void): (complete: boolean, goneMs?: number) => void {
    this.#present.set(job, this.of(job) + 1)
    let here = true
    return (complete, goneMs = 0) => {
      if (!here) return
      here = false
      const others = this.of(job) - 1
      if (others > 0) {
        this.#present.set(job, others)
        return
      }
      this.#present.delete(job)
      last(complete, goneMs)
    }
  }
}
