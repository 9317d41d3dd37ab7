/** The log of a job as its attempt reads it: when it begins, and to put an answer together. */
import { SluiceError } from '../core/errors.ts'
import type { JobId } from '../core/job.ts'
import type { LogPage, LogWriter } from '../core/ports/log.ts'
import type { Bytes } from '../core/record.ts'
import type { RunDeps } from './run-deps.ts'

/** Of the log, read at once. */
const PAGE_BYTES = 4 << 20
/** As long as the log's own writes wait for it. */
const PATIENCE_MS = 300_000
const RETRY_MS = 500
/** Thrown where it waits for nothing any more. */
export const STOPPED = new Error('the attempt was stopped')

export class AttemptLog {
  readonly #deps: Pick<RunDeps, 'clock' | 'read'>
  readonly #job: JobId
  readonly #writer: Pick<LogWriter, 'flushed'>
  readonly #isStopped: () => boolean
  /** Ends a wait for a store that is away; null: there is none. */
  #endWait: (() => void) | null = null

  constructor(
    deps: Pick<RunDeps, 'clock' | 'read'>,
    job: JobId,
    writer: Pick<LogWriter, 'flushed'>,
    isStopped: () => boolean,
  ) {
    this.#deps = deps
    this.#job = job
    this.#writer = writer
    this.#isStopped = isStopped
  }

  /** A store that is away is waited for now. */
  get isWaiting(): boolean {
    return this.#endWait !== null
  }

  /** Its attempt was stopped. */
  stop(): void {
    this.#endWait?.()
  }

  /** All so far, committed. */
  async read(): Promise<readonly Bytes[]> {
    await this.#writer.flushed()
    const untilMono = this.#deps.clock.monoMs() + PATIENCE_MS
    const all: Bytes[] = []
    for (;;) {
      const page = await this.#page(all.length, untilMono)
      if (page === null) return all
      for (const record of page.records) all.push(record)
      if (all.length >= page.head) return all
    }
  }

  /** While the store is away it is asked again: an answer is not failed for that. Throws STOPPED. */
  async #page(after: number, untilMono: number): Promise<LogPage | null> {
    const { clock, read } = this.#deps
    for (;;)
      try {
        return await read(this.#job, after, PAGE_BYTES)
      } catch (thrown) {
        if (SluiceError.from(thrown).code !== 'storage_unavailable' || clock.monoMs() >= untilMono) throw thrown
        if (!this.#isStopped()) await this.#pause()
        if (this.#isStopped()) throw STOPPED
      }
  }

  /** For a moment, or until it is stopped. */
  #pause(): Promise<void> {
    return new Promise((done) => {
      const next = (): void => {
        cancel()
        this.#endWait = null
        done()
      }
      const cancel = this.#deps.clock.after(RETRY_MS, next)
      this.#endWait = next
    })
  }
}
