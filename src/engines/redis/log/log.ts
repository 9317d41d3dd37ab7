/**
 * Token logs in Redis. Records are encoded by the process that runs the attempt, stored by its flushes, and published
 * by the very script that stores them; readers' processes decode them. A log is read as its chunks are stored, the end
 * record's too, which the coordinator's commit adds (log_end in lua/log.lua).
 */

import type { Clock, Wheel } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Ids } from '../../../core/ids.ts'
import type { JobId } from '../../../core/job.ts'
import type { Following, LogHead, LogListener, LogPage, LogWriter, TokenLog } from '../../../core/ports/log.ts'
import type { Lease } from '../../../core/ports/work.ts'
import { Table } from '../../../core/table.ts'
import type { Connection } from '../client/connection.ts'
import type { Names } from '../client/names.ts'
import type { Scripts } from '../client/scripts.ts'
import { type AttemptHost, AttemptLog, type Stored } from './attempt.ts'
import { Flush } from './flush.ts'
import { Follows } from './follows.ts'
import { LogReader } from './read.ts'

export interface LogDeps {
  readonly process: string
  readonly names: Names
  readonly commands: Connection
  readonly subscriber: Connection
  readonly scripts: Scripts
  readonly clock: Clock
  readonly wheel: Wheel
  readonly ids: Ids
  /** Output tokens of an attempt, to be charged to its tenant. */
  charge(job: JobId, attempt: number, tokens: number): void
  /** Resolves when all that is in the coordinator's inbox now is decided, and stored. */
  decided(): Promise<unknown>
  /** Redis refused what this attempt wrote: it is no longer the job's. */
  fenced(job: JobId, attempt: number): void
}

export class Logs implements TokenLog {
  readonly #flush: Flush
  readonly #follows: Follows
  readonly #reader: LogReader
  readonly #host: AttemptHost
  readonly #decided: () => Promise<unknown>
  /** Attempts of this process that may write. */
  readonly #attempts = new Table<JobId, AttemptLog>()

  constructor(deps: LogDeps) {
    this.#decided = () => deps.decided()
    this.#reader = new LogReader(deps)
    this.#follows = new Follows({ ...deps, reader: this.#reader })
    this.#flush = new Flush({
      ...deps,
      stored: (job, epoch, firstSeq, records) => this.#follows.stored(job, epoch, firstSeq, records),
      fenced: (job, attempt) => {
        this.fence(job, attempt)
        deps.fenced(job, attempt)
      },
    })
    this.#host = {
      touch: (log, when) => this.#flush.touch(log, when),
      charge: (job, attempt, tokens) => deps.charge(job, attempt, tokens),
    }
  }

  /** Rejects with what Redis or its client throws. */
  start(): Promise<void> {
    return this.#follows.start()
  }

  /** What is not stored by now is dropped: settle attempts before. Safe to repeat. */
  close(): void {
    this.#reader.close()
    this.#follows.close()
    this.#flush.close(new SluiceError('draining'))
  }

  /** Logs that are followed here. */
  get followed(): number {
    return this.#follows.size
  }

  /** Why nothing can be stored; null when it can. */
  get down(): SluiceError | null {
    return this.#flush.down
  }

  // ------------------------------------------------------------ attempts

  /** The lease is this process's: `open` then gives its writer. An older attempt of the job is over. */
  begin(job: JobId, attempt: number, log: { readonly epoch: number; readonly head: number }): void {
    this.#attempts.get(job)?.fence()
    this.#attempts.set(job, new AttemptLog(job, attempt, log, this.#host))
  }

  open(lease: Lease): LogWriter {
    const log = this.#of(lease.job.id, lease.attempt)
    if (log === null)
      throw new SluiceError('worker_lost', { message: `Attempt ${lease.attempt} is no longer this job's.` })
    return log
  }

  /**
   * Stores a command in the coordinator's inbox after all that the attempt wrote; it writes nothing after it. `fenced`:
   * it was no longer the job's attempt, or Redis was away for too long. May be repeated.
   */
  store(job: JobId, attempt: number, entry: string): Promise<Stored> {
    return this.#of(job, attempt)?.store(entry) ?? Promise.resolve('fenced')
  }

  /** Last seq of what the attempt wrote, or found; null: it is over. */
  taken(job: JobId, attempt: number): number | null {
    return this.#of(job, attempt)?.taken ?? null
  }

  /** The attempt writes nothing more; resolves when what it wrote is stored, or never will be. */
  async settle(job: JobId, attempt: number): Promise<void> {
    const log = this.#of(job, attempt)
    log?.close()
    await log?.flushed().catch(() => {})
  }

  /** The attempt is over: what is not stored by now is dropped. */
  fence(job: JobId, attempt: number): void {
    const log = this.#of(job, attempt)
    if (log === null) return
    this.#attempts.delete(job)
    log.fence()
  }

  #of(job: JobId, attempt: number): AttemptLog | null {
    const log = this.#attempts.get(job)
    return log?.attempt === attempt ? log : null
  }

  // ------------------------------------------------------------ readers

  head(job: JobId): Promise<LogHead | null> {
    return this.#reader.head(job)
  }

  commonWith(job: JobId, epoch: number): Promise<number> {
    return this.#reader.commonWith(job, epoch)
  }

  read(job: JobId, afterSeq: number, maxBytes: number): Promise<LogPage | null> {
    return this.#reader.page(job, afterSeq, maxBytes)
  }

  /** The job is being submitted here, to be read at once. */
  expect(job: JobId): void {
    this.#follows.expect(job)
  }

  /** It was accepted in this epoch, by a commit that made this process a follower of its log. */
  granted(job: JobId, epoch: number): void {
    this.#follows.granted(job, epoch)
  }

  follow(job: JobId, listener: LogListener, rewritten?: (epoch: number) => void): Following {
    return this.#follows.follow(job, listener, rewritten)
  }

  async missing(job: JobId, epoch: number): Promise<SluiceError | null> {
    let found = await this.#reader.missing(job)
    if (found.isMissing && found.epoch === epoch) return new SluiceError('job_gone')
    if (found.isMissing) {
      // Where its submit was not lost, it is taken again
      await this.#decided()
      found = await this.#reader.missing(job)
    }
    if (found.isMissing) return new SluiceError('job_lost')
    this.#follows.again(job)
    return null
  }
}
