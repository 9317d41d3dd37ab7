/**
 * Token logs. A live one is in memory, encoded, and in segments; one that ended is one row. Records may be read once
 * they are committed, the end record once it is power-safe; listeners are called in the very turn.
 */
import type { StatementSync } from 'node:sqlite'
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { Following, LogHead, LogListener, LogPage, LogWriter, TokenLog } from '../../../core/ports/log.ts'
import type { Lease } from '../../../core/ports/work.ts'
import type { Bytes } from '../../../core/record.ts'
import { Chain, Slots, Table } from '../../../core/table.ts'
import { decode, Extract } from '../../shared/codec.ts'
import { expectIntact } from '../disk/checksum.ts'
import { kindOf } from '../disk/faults.ts'
import type { Positions } from '../disk/positions.ts'
import type { LogShare, Store } from '../disk/store.ts'
import type { Epochs } from './epochs.ts'
import { type LiveLog, NO_NEWS } from './live-log.ts'
import { type Begun, entry, latin1, leaseEntry, Segments } from './segments.ts'

/** Encoded bytes of one log, and of all, above which they are read back from disk. */
const MAX_LOG_BYTES = 256 << 10
const MAX_ALL_BYTES = 256 << 20
/**
 * Logs that just ended, kept for the replies that come right after; how many the next commit leaves of them. What is
 * kept for longer than a scavenge or two ends up in old space.
 */
const RECENT_LOGS = 512
const RECENT_LOGS_LEFT = 32
const RECENT_BYTES = 8 << 20

/** Of a commit: the logs that are moved with it, and the number of each one's part. */
const NONE: ReadonlyMap<LiveLog, number> = new Map()

/** A log's place in the segment being written. */
interface Slot {
  readonly log: LiveLog
  readonly start: number
  readonly end: number
}

export class Logs implements TokenLog, LogShare {
  readonly live = new Table<JobId, LiveLog>()
  readonly segments: Segments
  readonly #store: Store
  readonly #recent = new Table<JobId, LiveLog>()
  readonly #recentOrder = new Chain<LiveLog>()
  #recentBytes = 0
  /** Ended, to be removed when their last reader has gone. */
  readonly leaving = new Table<JobId, LiveLog>()
  readonly #stored: StatementSync
  readonly #storedHead: StatementSync
  readonly #storedParts: StatementSync
  readonly #storedEpochs: StatementSync
  readonly #epochs: Epochs
  readonly #positions: Positions
  #dirty: LiveLog[] = []
  #liveBytes = 0
  readonly #large = new Slots<LiveLog>()
  readonly #held = new Slots<LiveLog>()
  // Of the commit under way
  #slots: Slot[] = []
  #moving = NONE
  #segment: Buffer | null = null
  #oldest = 0
  /** Charges output tokens to a job's tenant. */
  readonly charge: (job: JobId, attempt: number, tokens: number) => void
  /** Stores the job of a log that was held. */
  readonly #keepJob: (job: JobId) => void

  constructor(
    store: Store,
    epochs: Epochs,
    positions: Positions,
    charge: Logs['charge'],
    keepJob: (job: JobId) => void,
  ) {
    this.#store = store
    this.#positions = positions
    this.charge = charge
    this.#keepJob = keepJob
    this.#epochs = epochs
    this.segments = new Segments(store.db)
    this.#stored = store.db.prepare(
      'SELECT j.id AS id, r.epoch AS epoch, r.records AS records, r.parts AS parts, r.log AS log, r.checksum ' +
        'AS checksum FROM results r JOIN jobs j ON j.ord = r.ord WHERE r.ord = ?',
    )
    this.#storedHead = store.db.prepare(
      'SELECT j.id AS id, r.epoch AS epoch, r.records AS head FROM results r JOIN jobs j ON j.ord = r.ord ' +
        'WHERE r.ord = ?',
    )
    this.#storedEpochs = store.db.prepare(
      'SELECT epoch, sum(records) OVER (ORDER BY n) AS last FROM parts WHERE ord = ? ORDER BY n',
    )
    this.#storedParts = store.db.prepare('SELECT records, data, epoch, checksum FROM parts WHERE ord = ? ORDER BY n')
  }

  get liveBytes(): number {
    return this.#liveBytes
  }

  // ------------------------------------------------------------ write

  open(lease: Lease): LogWriter {
    const log = this.live.get(lease.job.id)
    if (log === undefined || log.attempt !== lease.attempt || log.ending)
      throw new SluiceError('worker_lost', { message: `Attempt ${lease.attempt} is no longer this job's.` })
    return new Writer(log, lease.attempt, this)
  }

  take(log: LiveLog, records: readonly Bytes[], urgent: boolean): void {
    log.take(records)
    if (log.held) {
      // A document's end comes in the same turn; of what is shown before its end nothing is held
      if (urgent) this.#store.before(() => this.keep(log))
      return
    }
    this.touch(log)
    if (urgent) this.#store.urgent()
    else this.#store.turn()
  }

  /** Nothing of it is stored before its end, unless it is to be kept sooner. */
  hold(log: LiveLog, nowMono: number): void {
    log.held = true
    log.heldMono = nowMono
    log.placeOfHeld = this.#held.add(log)
  }

  /** The next commit stores what there is of it and of its job. Safe to repeat. */
  keep(log: LiveLog): void {
    if (!log.held || log.ending) return
    this.#held.delete(log.placeOfHeld, log)
    log.held = false
    this.#keepJob(log.job)
    this.touch(log)
  }

  /** All that have been held since then or longer. */
  keepHeld(sinceMono: number): void {
    for (const log of this.#held) if (log.heldMono <= sinceMono) this.keep(log)
  }

  /** Its last record: stored with the job's end, for which a write follows. */
  takeEnd(log: LiveLog, record: Bytes): void {
    log.take([record])
    log.ending = true
    this.#held.delete(log.placeOfHeld, log)
    this.touch(log)
  }

  /** An attempt begins: noted, so that a restart knows of it. */
  noteLease(log: LiveLog, { queuedMs, ttftMs, calls }: Begun): void {
    log.lease = log.attempt
    log.queuedMs = queuedMs
    log.ttftMs = ttftMs
    log.calls = calls
    this.touch(log)
  }

  /** The log has something for the next commit. */
  touch(log: LiveLog): void {
    if (log.dirty || (log.held && !log.ending)) return
    log.dirty = true
    this.#dirty.push(log)
  }

  dirty(beat: boolean): boolean {
    return this.#dirty.length > 0 || (beat && (this.#large.size > 0 || this.segments.untidy(true)))
  }

  write(beat: boolean): void {
    this.#leaveRecent(RECENT_LOGS_LEFT)
    this.#slots = []
    this.#moving = NONE
    this.#segment = null
    this.#oldest = 0
    const durable = this.#store.durability !== 'memory'
    if (beat && durable) {
      const moving = new Map<LiveLog, number>()
      for (const log of this.segments.toMove(this.#large))
        if (!moving.has(log)) moving.set(log, this.segments.move(log, moving.size))
      if (moving.size > 0) this.#moving = moving
      if (this.segments.untidy(this.#dirty.length === 0)) this.#oldest = this.segments.drop()
    }
    let text = ''
    for (const log of this.#dirty) {
      if (log.ending || this.#moving.has(log)) continue
      if (log.lease > 0) text += leaseEntry(log.order, log.lease, log)
      if (log.run.length > 0) text += entry(log.order, 0, log.run.length, log.unsaved)
      this.#slots.push({ log, start: text.length - log.unsaved.length, end: text.length })
    }
    // A part says nothing of the lease that its log's segments said
    for (const log of this.#moving.keys()) if (log.attempt > 0) text += leaseEntry(log.order, log.attempt, log)
    if (text === '') return
    this.#segment = Buffer.from(text, 'latin1')
    if (!durable) return
    this.segments.append(this.#segment)
    this.#store.wrote(this.#segment.length)
  }

  written(): void {
    const dirty = this.#dirty
    this.#dirty = []
    const durable = this.#store.durability !== 'memory'
    const { segments } = this
    if (durable && this.#segment !== null) segments.appended(this.#segment.length)
    // First all logs are brought up to date, then readers are told: what they do may come back here
    const told: LiveLog[] = []
    const runs: Array<readonly Bytes[]> = []
    const tell = (log: LiveLog, run: readonly Bytes[]): void => {
      if (run.length === 0 || log.listeners.length === 0) return
      told.push(log)
      runs.push(run)
    }
    for (const { log, start, end } of this.#slots) {
      // A copy: slices of one text for all jobs would keep all of it alive for one of them
      tell(log, log.saved(this.#segment!.toString('latin1', start, end)))
      this.#liveBytes += end - start
      if (!durable) continue
      segments.opened(log)
      if (log.bytes > MAX_LOG_BYTES && log.placeOfLarge < 0) log.placeOfLarge = this.#large.add(log)
    }
    for (const log of dirty) {
      if (!log.ending || !log.dirty) continue
      // No copy: it leaves memory soon
      this.#liveBytes += log.unsaved.length
      tell(log, log.saved(log.unsaved))
    }
    if (this.#moving.size > 0) {
      for (const [log, part] of this.#moving) {
        this.#liveBytes -= log.bytes
        tell(log, log.saved(''))
        if (log.taken > log.partsEnd) log.moved(part)
        this.#noLongerLarge(log)
        segments.closed(log)
        if (log.attempt > 0) segments.opened(log)
      }
      segments.moved(this.#moving.size)
    }
    if (this.#oldest > 0) segments.dropped(this.#oldest)
    segments.squeeze = this.#liveBytes > MAX_ALL_BYTES
    for (let i = 0; i < told.length; i++) told[i].tell(told[i].head + 1 - runs[i].length, runs[i])
  }

  failed(error: SluiceError): void {
    for (const log of this.live.values()) for (const waiter of log.waiters.splice(0)) waiter.reject(error)
  }

  get storeDown(): SluiceError | null {
    return this.#store.down
  }

  // ------------------------------------------------------------ end

  /** The end record is power-safe: it may be read. The log leaves memory soon. */
  end(log: LiveLog, end: Bytes): void {
    log.head = log.taken
    log.ended = true
    this.live.delete(log.job)
    this.#noLongerLarge(log)
    this.segments.closed(log)
    this.#liveBytes -= log.bytes
    this.#remember(log)
    log.tell(log.head, [end])
  }

  #noLongerLarge(log: LiveLog): void {
    this.#large.delete(log.placeOfLarge, log)
    log.placeOfLarge = -1
  }

  #remember(log: LiveLog): void {
    this.#recent.set(log.job, log)
    this.#recentOrder.add(log)
    this.#recentBytes += log.bytes
    this.#leaveRecent(RECENT_LOGS)
  }

  #leaveRecent(logs: number): void {
    while (this.#recent.size > logs || this.#recentBytes > RECENT_BYTES) this.#leave(this.#recentOrder.first!)
  }

  #leave(log: LiveLog): void {
    if (!this.#recentOrder.delete(log)) return
    this.#recent.delete(log.job)
    this.#recentBytes -= log.bytes
  }

  /** It is no more. */
  forget(job: JobId): void {
    const live = this.live.get(job)
    if (live !== undefined) {
      this.live.delete(job)
      this.segments.closed(live)
      this.#noLongerLarge(live)
      this.#held.delete(live.placeOfHeld, live)
      this.#liveBytes -= live.bytes
      if (live.dirty) this.#dirty = this.#dirty.filter((log) => log !== live)
    }
    const recent = this.#recent.get(job)
    if (recent !== undefined) this.#leave(recent)
    this.leaving.delete(job)
  }

  /** Resolves when no segment has anything of a log that is forgotten. */
  renewed(): Promise<void> {
    this.#store.turn()
    return this.segments.renewed()
  }

  // ------------------------------------------------------------ read

  follow(job: JobId, listener: LogListener): Following {
    return (this.live.get(job) ?? this.leaving.get(job))?.follow(listener) ?? NO_NEWS
  }

  /** What it has, it keeps for as long as this process lives. */
  missing(): Promise<SluiceError> {
    return Promise.resolve(new SluiceError('job_gone'))
  }

  async head(job: JobId): Promise<LogHead | null> {
    const log = this.live.get(job) ?? this.#recent.get(job) ?? this.leaving.get(job)
    if (log !== undefined) return { epoch: log.epoch, head: log.head, ended: log.ended }
    const order = this.#positions.of(job)
    const row =
      order === null
        ? undefined
        : (this.#storedHead.get(order) as { id: string; epoch: number; head: number } | undefined)
    return row === undefined || row.id !== job ? null : { epoch: row.epoch, head: row.head, ended: true }
  }

  async commonWith(job: JobId, epoch: number): Promise<number> {
    const order = this.#positions.of(job)
    if (order === null || !this.#epochs.isKnown(order, epoch)) return 0
    const parts = this.live.get(job)?.parts ?? (this.#storedEpochs.all(order) as Array<{ last: number; epoch: number }>)
    return parts.findLast((part) => part.epoch <= epoch)?.last ?? 0
  }

  async read(job: JobId, afterSeq: number, maxBytes: number): Promise<LogPage | null> {
    const log = this.live.get(job) ?? this.#recent.get(job) ?? this.leaving.get(job)
    try {
      return log === undefined ? this.#readStored(job, afterSeq, maxBytes) : this.#readLive(log, afterSeq, maxBytes)
    } catch (cause) {
      const error = unreadable(job, cause)
      this.#store.warn('job_damaged', error.message)
      throw error
    }
  }

  #readLive(log: LiveLog, afterSeq: number, maxBytes: number): LogPage {
    const { epoch, head, ended } = log
    const into = new Extract(0, Math.max(0, head - afterSeq), maxBytes)
    let before = 0
    let of: number | null = null
    for (const part of log.parts) {
      if (of !== null && part.epoch !== of) break
      if (part.last > afterSeq && !into.full) {
        of = part.epoch
        into.skip = Math.max(0, afterSeq - before)
        decode(this.segments.part(part.n), [], into)
      }
      before = part.last
    }
    for (let i = 0; i < log.pieces.length && !into.full && (of === null || of === epoch); i++) {
      if (log.seqs[i] > afterSeq) {
        into.skip = Math.max(0, afterSeq - before)
        decode(log.pieces[i], log.encoder.templates, into)
      }
      before = log.seqs[i]
    }
    return { epoch: of ?? epoch, firstSeq: afterSeq + 1, records: into.records, head, ended }
  }

  #readStored(job: JobId, afterSeq: number, maxBytes: number): LogPage | null {
    const order = this.#positions.of(job)
    const row =
      order === null
        ? undefined
        : (this.#stored.get(order) as
            | { id: string; epoch: number; records: number; parts: number; log: Uint8Array; checksum: number | null }
            | undefined)
    if (row === undefined || row.id !== job) return null
    const what = `The log of ${job}`
    expectIntact(what, row.log, row.records, row.checksum)
    const into = new Extract(0, Math.max(0, row.records - afterSeq), maxBytes)
    let before = 0
    let of: number | null = null
    if (row.parts > 0) {
      for (const part of this.#storedParts.iterate(order) as Iterable<{
        records: number
        data: Uint8Array
        epoch: number
        checksum: number | null
      }>) {
        if (of !== null && part.epoch !== of) break
        if (before + part.records > afterSeq && !into.full) {
          of = part.epoch
          expectIntact(what, part.data, part.records, part.checksum)
          into.skip = Math.max(0, afterSeq - before)
          decode(latin1(part.data), [], into)
        }
        before += part.records
      }
    }
    if (of === null || of === row.epoch) {
      into.skip = Math.max(0, afterSeq - before)
      decode(latin1(row.log), [], into)
    }
    return { epoch: of ?? row.epoch, firstSeq: afterSeq + 1, records: into.records, head: row.records, ended: true }
  }
}

function unreadable(job: JobId, cause: unknown): SluiceError {
  if (cause instanceof SluiceError) return cause
  const kind = kindOf(cause)
  return new SluiceError(kind === 'damaged' || kind === 'other' ? 'job_damaged' : 'storage_failed', {
    message: `The log of ${job} can't be read: ${cause}`,
    cause,
  })
}

/** One attempt's way into its log. */
class Writer implements LogWriter {
  readonly epoch: number
  readonly head: number
  readonly #log: LiveLog
  readonly #attempt: number
  readonly #logs: Logs

  constructor(log: LiveLog, attempt: number, logs: Logs) {
    this.#log = log
    this.#attempt = attempt
    this.#logs = logs
    this.epoch = log.epoch
    this.head = log.taken
  }

  append(records: readonly Bytes[], outputTokens: number, urgent: boolean): void {
    const log = this.#log
    if (log.attempt !== this.#attempt || log.ending || records.length === 0) return
    this.#logs.take(log, records, urgent)
    if (outputTokens > 0) this.#logs.charge(log.job, this.#attempt, outputTokens)
  }

  noteFirstText(ttftMs: number): void {
    const log = this.#log
    if (log.attempt === this.#attempt && !log.ending)
      this.#logs.noteLease(log, { queuedMs: log.queuedMs, ttftMs, calls: log.calls })
  }

  get pendingBytes(): number {
    return this.#log.pendingBytes
  }

  flushed(): Promise<void> {
    const log = this.#log
    if (log.run.length === 0) return Promise.resolve()
    this.#logs.keep(log)
    const { storeDown } = this.#logs
    if (storeDown?.code === 'storage_failed') return Promise.reject(storeDown)
    return new Promise((resolve, reject) => void log.waiters.push({ resolve, reject }))
  }
}
