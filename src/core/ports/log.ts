/** The token log: records of jobs, read back by cursor, followed live. */
import type { SluiceError } from '../errors.ts'
import type { JobId } from '../job.ts'
import type { Bytes } from '../record.ts'
import type { Lease } from './work.ts'

export interface LogPage {
  /**
   * The epoch in which these records were written: a record keeps its cursor forever, and no page mixes two epochs.
   */
  readonly epoch: number
  /** seq of records[0]. */
  readonly firstSeq: number
  /** Whole records; at least one if there is one. */
  readonly records: readonly Bytes[]
  /** Last readable seq. */
  readonly head: number
  /** The last readable record is the `end` record. */
  readonly ended: boolean
}

/** How far a log goes. */
export type LogHead = Pick<LogPage, 'epoch' | 'head' | 'ended'>

export interface LogWriter {
  readonly epoch: number
  /** Last seq of the log when this attempt opened it. */
  readonly head: number
  /**
   * Takes records in order, to be stored with the next commit window; never throws. `outputTokens` of them are
   * charged to the tenant's fair share. `urgent`: commit in this turn (the first token). What was
   * taken before `Work.finish` is stored before the end record.
   */
  append(records: readonly Bytes[], outputTokens: number, urgent: boolean): void
  /**
   * When the answer's first text came, counted from acceptance: stored in the commit of what was just taken. Leases of
   * later attempts bring it.
   */
  noteFirstText(ttftMs: number): void
  /** Bytes taken and not yet committed: stop reading the upstream above a cap. */
  readonly pendingBytes: number
  /** Resolves when all that was taken is committed. */
  flushed(): Promise<void>
}

export interface TokenLog {
  /** Opens the log for the lease's attempt. Throws what fences it. */
  open(lease: Lease): LogWriter
  /** Without reading any record; null as in `read`. */
  head(job: JobId): Promise<LogHead | null>
  /**
   * How far the log is the one that a cursor of an older `epoch` saw: up to this seq its records are the same. 0: not
   * at all, or that epoch is unknown.
   */
  commonWith(job: JobId, epoch: number): Promise<number>
  /**
   * Records after `afterSeq`, at most about `maxBytes` of them; null when there is no such log (unknown, erased,
   * retention).
   */
  read(job: JobId, afterSeq: number, maxBytes: number): Promise<LogPage | null>
  /**
   * Calls `listener` with each run of records once it may be read (stored; the end record: power-safe), in order, in
   * the same turn for all listeners of a job. Does not replay: follow first, wait until it is ready, then read, then
   * drop what both brought. A log that ended calls nobody. `rewritten` is called where the log has lost records: it has
   * a new epoch, and is read from the start, or is not there. Never where a log lasts as long as the process that
   * serves it.
   */
  follow(job: JobId, listener: LogListener, rewritten?: (epoch: number) => void): Following
  /**
   * Why there is no log of a job that was there in this epoch: job_gone where it was erased, job_lost where the store
   * has lost it since then. Resolves when that is certain; null: the log is there again.
   */
  missing(job: JobId, epoch: number): Promise<SluiceError | null>
}

/** `epoch`: in which the records were written, all of them. */
export type LogListener = (firstSeq: number, records: readonly Bytes[], epoch: number) => void

export interface Following {
  /**
   * From now on no record is missed; resolves with the last seq there was before, null where that is not known, or the
   * log may have ended. Null: no record is missed, and the log has not ended. Rejects where it can't be followed.
   */
  readonly ready: Promise<number | null> | null
  stop(): void
}
