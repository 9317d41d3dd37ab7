/** Logs that this process no longer follows, told to the store many at once. */
import type { Clock } from '../../../core/clock.ts'
import type { JobId } from '../../../core/job.ts'
import { Table } from '../../../core/table.ts'
import type { Scripts } from '../client/scripts.ts'

const AFTER_MS = 100
const AT_ONCE = 256

export class Leaves {
  readonly #deps: { readonly process: string; readonly scripts: Scripts; readonly clock: Clock }
  readonly #jobs = new Table<JobId, true>()
  #isPlanned = false
  #closed = false

  constructor(deps: { readonly process: string; readonly scripts: Scripts; readonly clock: Clock }) {
    this.#deps = deps
  }

  add(job: JobId): void {
    if (this.#closed) return
    this.#jobs.set(job, true)
    if (this.#isPlanned) return
    this.#isPlanned = true
    this.#deps.clock.after(AFTER_MS, () => this.#tell())
  }

  /** It is followed again. */
  delete(job: JobId): void {
    this.#jobs.delete(job)
  }

  close(): void {
    this.#closed = true
  }

  #tell(): void {
    this.#isPlanned = false
    const jobs = this.#jobs.keys()
    for (const id of jobs) this.#jobs.delete(id)
    const { scripts, process } = this.#deps
    for (let i = 0; i < jobs.length && !this.#closed; i += AT_ONCE)
      // Where that fails, what still comes asks for it again
      scripts.run('log-leave', [process, ...jobs.slice(i, i + AT_ONCE)]).catch(() => {})
  }
}
