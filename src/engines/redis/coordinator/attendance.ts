/**
 * Who reads plain POSTs (S2), by process: the one that submitted a job reads it from the start. When the last one has
 * left, the job is canceled after a grace in which a reader may return, at any gateway.
 */
import type { Clock } from '../../../core/clock.ts'
import type { JobId } from '../../../core/job.ts'
import { Table } from '../../../core/table.ts'

/** What was late to arrive may be followed by what was later still: that a reader is back. */
const SETTLE_MS = 1_000

const NOTHING = (): void => {}

interface Attended {
  readonly readers: string[]
  /** Processes whose last reader has left, and when, by their own telling: what they told before comes too late. */
  readonly left: Map<string, number>
  /** Its grace is over. */
  isLeft: boolean
  /** Ends the grace. */
  stop: () => void
}

export class Attendance {
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #over: (job: JobId) => void
  readonly #jobs = new Table<JobId, Attended>()

  /** `over`: a grace is; see `isLeft`. */
  constructor(clock: Clock, graceMs: number, over: (job: JobId) => void) {
    this.#clock = clock
    this.#graceMs = graceMs
    this.#over = over
  }

  /** A job that is canceled when nobody reads it; `reader`: null after a takeover, when nobody was heard yet. */
  add(job: JobId, reader: string | null): void {
    const attended: Attended = {
      readers: reader === null ? [] : [reader],
      left: new Map(),
      isLeft: false,
      stop: NOTHING,
    }
    this.#jobs.set(job, attended)
    if (reader === null) this.#startGrace(job, attended, 0)
  }

  /** `toldAtMs`: of a heartbeat, which may be overtaken by a command; absent: in the order in which it was told. */
  entered(job: JobId, process: string, toldAtMs?: number): void {
    const attended = this.#jobs.get(job)
    if (attended === undefined) return
    if (toldAtMs !== undefined && toldAtMs <= (attended.left.get(process) ?? -Infinity)) return
    attended.stop()
    attended.isLeft = false
    if (!attended.readers.includes(process)) attended.readers.push(process)
  }

  /** `goneMs`: how long ago that was, about; `atMs`: when it told so, as in `entered`. */
  left(job: JobId, process: string, goneMs: number, atMs?: number): void {
    const attended = this.#jobs.get(job)
    if (attended === undefined) return
    if (atMs !== undefined) attended.left.set(process, atMs)
    const at = attended.readers.indexOf(process)
    if (at < 0) return
    attended.readers.splice(at, 1)
    if (attended.readers.length === 0) this.#startGrace(job, attended, goneMs)
  }

  /** With all its readers. */
  gone(process: string): void {
    for (const job of this.#jobs.keys()) this.left(job, process, 0)
  }

  /** It has ended. */
  delete(job: JobId): void {
    this.#jobs.get(job)?.stop()
    this.#jobs.delete(job)
  }

  /** Processes that read something. */
  processes(): ReadonlySet<string> {
    const processes = new Set<string>()
    for (const { readers } of this.#jobs.values()) for (const process of readers) processes.add(process)
    return processes
  }

  stop(): void {
    for (const { stop } of this.#jobs.values()) stop()
  }

  /** Its grace is over, and nobody was heard since. */
  isLeft(job: JobId): boolean {
    return this.#jobs.get(job)?.isLeft === true
  }

  /** After time in which nobody could be heard: whoever has come back has time to be heard. */
  wait(): void {
    for (const [job, attended] of this.#jobs.entries())
      if (attended.readers.length === 0) this.#startGrace(job, attended, 0)
  }

  #startGrace(job: JobId, attended: Attended, goneMs: number): void {
    attended.stop()
    const ms = Math.max(Math.min(this.#graceMs, SETTLE_MS), this.#graceMs - goneMs)
    attended.isLeft = false
    attended.stop = this.#clock.after(ms, () => {
      attended.isLeft = true
      this.#over(job)
    })
  }
}
