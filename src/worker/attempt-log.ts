/** The log of a job as its attempt reads it: when it begins, and to put an answer together. */
import { sleep } from '../core/clock.ts'
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

export class AttemptLog {
  readonly #deps: Pick<RunDeps, 'clock' | 'read'>
  readonly #job: JobId
  readonly #writer: Pick<LogWriter, 'flushed'>
  readonly #stopped: AbortSignal
  #isWaiting = false

  constructor(
    deps: Pick<RunDeps, 'clock' | 'read'>,
    job: JobId,
    writer: Pick<LogWriter, 'flushed'>,
    stopped: AbortSignal,
  ) {
    this.#deps = deps
    this.#job = job
    this.#writer = writer
    this.#stopped = stopped
  }

  /** A store that is away is waited for now. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  /** All so far, committed. Rejects with the reason of `stopped` where it waits for the store. */
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

  /** While the store is away it is asked again: an answer is not failed for that, unless its attempt is stopped. */
  async #page(after: number, untilMono: number): Promise<LogPage | null> {
    const { clock, read } = this.#deps
    for (;;)
      try {
        return await read(this.#job, after, PAGE_BYTES)
      } catch (thrown) {
        if (SluiceError.from(thrown).code !== 'storage_unavailable' || clock.monoMs() >= untilMono) throw thrown
        this.#isWaiting = true
        await sleep(clock, RETRY_MS, this.#stopped).finally(() => (this.#isWaiting = false))
      }
  }
}
