/**
 * The rhythm of the store: writes are queued and committed together, in one transaction, by the wheel's beat or at the
 * end of this turn of the event loop. A commit is a write into the page cache; syncs and checkpoints are the disk
 * thread's.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock, Wheel } from '../../../core/clock.ts'
import { crashpoint } from '../../../core/crashpoint.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Emit, Happened } from '../../../core/facts.ts'
import { histogram, type Metric } from '../../../core/numbers.ts'
import { Slots } from '../../../core/table.ts'
import type { Durability } from '../../shared/durability.ts'
import type { Disk, DiskEvents } from './disk.ts'
import { kindOf } from './faults.ts'
import { type Synced, Syncs } from './syncs.ts'
import { Wal } from './wal.ts'

export interface Write {
  /** Inside the transaction. May run again, should the transaction fail. */
  apply(): void
  /** Committed (null), or never to be. */
  done(error: SluiceError | null): void
  /** Kept and tried again while nothing can be written for now (full, locked); else refused. */
  readonly keep: boolean
  /** Asked when the commit begins: has it nothing to store, and only waits for what was queued before it? */
  readonly isEmpty?: () => boolean
}

/** The token log's share of each commit. */
export interface LogShare {
  /** Has it anything to write? `beat`: this is the wheel's commit, which may do a little cleaning too. */
  dirty(beat: boolean): boolean
  /** Inside the transaction; changes nothing that a failed commit would have to undo. */
  write(beat: boolean): void
  /** The commit is there: readers may be told. */
  written(): void
  /** Nothing will be written any more. */
  failed(error: SluiceError): void
}

export interface StoreOptions {
  readonly db: DatabaseSync
  readonly durability: Durability
  readonly clock: Clock
  readonly wheel: Wheel
  readonly emit: Emit
  /** Why the system refused a write of about so many bytes, where SQLite does not tell. */
  readonly whyRefused?: (bytes: number) => 'full' | 'failed'
  /** The WAL's length above which an operator is warned: something keeps it from starting over. */
  readonly walWarnBytes?: number
}

/** While nothing can be written: time between two tries. */
const RETRY_MS = 250
/** A foreign lock as long as this is told; shorter ones only delay a commit. */
const LOCK_PATIENCE_MS = 1_000
/** An orderly end waits at most this long for the last commit and its sync, and then for the disk thread. */
const CLOSE_MS = 2_000
/** Records wait for a commit that they can share for so many beats at most. */
const LATE_BEATS = 2
const CHECKPOINT_BYTES = 4 << 20
/** A commit writes a few pages besides its payload. */
const COMMIT_BYTES = 16_384
/** Commits wait at most as long for the last checkpoint before the WAL starts over. */
const HOLD_MS = 50

const isEmpty = (write: Write): boolean => write.isEmpty?.() === true
const yes = (): boolean => true

export class Store {
  readonly db: DatabaseSync
  readonly durability: Durability
  readonly #clock: Clock
  readonly #wheel: Wheel
  readonly #emit: Emit
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #rollback: StatementSync
  #log!: LogShare
  #disk: Disk | null = null
  #writes: Write[] = []
  #before: Array<() => void> = []
  /** A commit follows at the end of this turn. */
  #ending = false
  /** One follows by a timer. */
  #cancelLater: (() => void) | null = null
  #committedMono = -Infinity
  #held = false
  #down: SluiceError | null = null
  /** Since when commits find the database locked by somebody else. */
  #lockedSinceMono: number | null = null
  #retrying = false
  /** Rejections of those who wait only while the store takes work. */
  readonly #impatient = new Slots<(error: SluiceError) => void>()
  #closed = false
  #sinceCheckpoint = 0
  readonly #whyRefused: (bytes: number) => 'full' | 'failed'
  readonly #syncs: Syncs
  readonly #wal: Wal
  readonly #commitMs = histogram('commit_ms', 'How long a commit took: slow commits slow every job down')
  readonly #syncMs = histogram('sync_ms', 'How long the disk took to make commits power-safe')
  readonly metrics: readonly Metric[]

  constructor(options: StoreOptions) {
    this.db = options.db
    this.durability = options.durability
    this.#clock = options.clock
    this.#wheel = options.wheel
    this.#emit = options.emit
    this.#whyRefused = options.whyRefused ?? (() => 'failed')
    this.#wal = new Wal(options.walWarnBytes)
    this.#syncs = new Syncs(options.clock, {
      isNeeded: options.durability === 'power',
      sync: () => this.#disk!.sync(),
      failure: () => (this.#down?.code === 'storage_failed' ? this.#down : null),
    })
    this.metrics = [this.#commitMs, this.#syncMs, ...this.#wal.metrics]
    this.#begin = this.db.prepare('BEGIN IMMEDIATE')
    this.#commit = this.db.prepare('COMMIT')
    this.#rollback = this.db.prepare('ROLLBACK')
  }

  /** Begins to turn. */
  start(log: LogShare, disk: ((events: DiskEvents) => Disk) | null): void {
    this.#log = log
    this.#disk = disk?.(this.#diskEvents()) ?? null
    this.#wheel.onBeat(() => this.commit(true))
  }

  warn(code: Extract<Happened, { type: 'store-warned' }>['code'], detail: string): void {
    this.#emit({ type: 'store-warned', code, detail })
  }

  /** Why no work can be taken; null when it can. */
  get down(): SluiceError | null {
    return this.#down
  }

  get commits(): number {
    return this.#syncs.commits
  }

  // ------------------------------------------------------------ commit

  /** Queues a write for the commit at the end of this turn. */
  write(write: Write): void {
    const refusal = this.#closed
      ? new SluiceError('draining')
      : this.#down !== null && (!write.keep || this.#down.code === 'storage_failed')
        ? this.#down
        : null
    if (refusal !== null) write.done(refusal)
    else {
      this.#writes.push(write)
      this.urgent()
    }
  }

  /**
   * Calls `fn` when the next commit begins, at the end of this turn: what it writes shares that commit. Not while
   * nothing can be written.
   */
  before(fn: () => void): void {
    this.#before.push(fn)
    this.urgent()
  }

  /** As `write`; resolves when committed. */
  run(apply: () => void, keep: boolean): Promise<void> {
    return new Promise((resolve, reject) =>
      this.write({ apply, keep, done: (error) => (error === null ? resolve() : reject(error)) }),
    )
  }

  /** Calls `done` when all that is queued now is committed, or can't be. */
  whenCommitted(done: (error: SluiceError | null) => void, keep: boolean): void {
    this.write({ isEmpty: yes, apply: () => {}, keep, done })
  }

  /** Does `work` unless nothing can be written, and waits for it only while something can. */
  async ifUp<T>(work: () => Promise<T>): Promise<T> {
    if (this.#down !== null) throw this.#down
    return this.whileUp(work())
  }

  /**
   * As `promise`, but only while the store takes work: rejects as soon as it is down, so that nobody waits for a disk
   * to get room. What is kept is written later all the same.
   */
  whileUp<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#down !== null) reject(this.#down)
      const place = this.#impatient.add(reject)
      promise.then(resolve, reject).finally(() => this.#impatient.delete(place, reject))
    })
  }

  /**
   * Commit soon: with the wheel's beat while it turns, as then reads are gathered for it. Else at the end of this turn
   * of the event loop, where the last commit is a beat ago: a lone token does not wait. Tokens that follow sooner share
   * a commit: with the next of them that comes late enough, so that no timer wakes the process for it, or else with the
   * timer.
   */
  turn(): void {
    if (this.#wheel.turning) return
    if (this.#clock.monoMs() - this.#committedMono >= this.#wheel.beatMs) this.#atEndOfTurn(true)
    else this.#later()
  }

  #tidyLater(): void {
    if (!this.#wheel.turning && this.#log.dirty(true)) this.#later()
  }

  #later(): void {
    this.#cancelLater ??= this.#clock.after(LATE_BEATS * this.#wheel.beatMs, () => {
      this.#cancelLater = null
      this.commit(true)
    })
  }

  /** Commit at the end of this turn. */
  urgent(): void {
    this.#atEndOfTurn(false)
  }

  #atEndOfTurn(beat: boolean): void {
    if (this.#ending) return
    this.#ending = true
    this.#clock.soon(() => {
      this.#ending = false
      this.commit(beat)
    })
  }

  /** Now, unless the store is held or down. */
  commit(beat: boolean): void {
    if (this.#closed || this.#held || this.#down !== null) return
    if (this.#before.length > 0) for (const fn of this.#before.splice(0)) fn()
    this.#try(beat)
  }

  #try(beat: boolean): void {
    const writes = this.#writes
    const isDirty = this.#log.dirty(beat)
    if (writes.length === 0 && !isDirty) return
    this.#writes = []
    if (!isDirty && this.#down === null && writes.every(isEmpty)) {
      for (const write of writes) write.done(null)
      return
    }
    const startedAt = this.#clock.monoMs()
    const bytesBefore = this.#sinceCheckpoint
    let at = 0
    try {
      this.#begin.run()
      for (; at < writes.length; at++) writes[at].apply()
      this.#log.write(beat)
      crashpoint('before-commit')
      this.#commit.run()
    } catch (cause) {
      this.#undo(writes, at, cause, COMMIT_BYTES + this.#sinceCheckpoint - bytesBefore)
      return
    }
    crashpoint('after-commit')
    this.#syncs.committed()
    this.#committedMono = this.#clock.monoMs()
    this.#commitMs.record(this.#committedMono - startedAt)
    this.#cancelLater?.()
    this.#cancelLater = null
    this.#lockedSinceMono = null
    if (this.#down !== null) {
      this.#down = null
      this.#emit({ type: 'store-recovered' })
      if (this.#before.length > 0) this.urgent()
    }
    this.#wrote(COMMIT_BYTES)
    this.#log.written()
    for (const write of writes) write.done(null)
    this.#tidyLater()
    this.#syncs.beginIfDue()
  }

  #undo(writes: Write[], at: number, cause: unknown, bytes: number): void {
    if (this.db.isTransaction) this.#rollback.run()
    let kind = kindOf(cause)
    if (kind === 'write') kind = this.#whyRefused(bytes)
    if (kind === 'full') {
      this.#hold(writes, new SluiceError('storage_full', { cause }))
      this.#disk?.checkpoint() // a WAL that starts over needs no room
    } else if (kind === 'busy') {
      this.#lockedSinceMono ??= this.#clock.monoMs()
      if (this.#clock.monoMs() - this.#lockedSinceMono >= LOCK_PATIENCE_MS)
        this.#hold(writes, new SluiceError('storage_locked', { cause }))
      else {
        this.#writes = [...writes, ...this.#writes]
        this.#later()
      }
    } else if ((kind === 'statement' || kind === 'other') && at < writes.length) {
      // One write is not like the others: without it
      this.#writes = [...writes.filter((_, i) => i !== at), ...this.#writes]
      if (this.#writes.length > 0) this.urgent()
      writes[at].done(new SluiceError('internal', { cause }))
    } else this.fail(cause, writes)
  }

  /** Nothing can be written for now: what may be refused is, the rest is tried again until it can. */
  #hold(writes: readonly Write[], error: SluiceError): void {
    const all = [...writes, ...this.#writes]
    this.#writes = all.filter((write) => write.keep)
    this.#degrade(error)
    for (const write of all) if (!write.keep) write.done(error)
    if (this.#retrying) return
    this.#retrying = true
    this.#clock.after(RETRY_MS, () => {
      this.#retrying = false
      if (this.#down === null || this.#down.code === 'storage_failed' || this.#closed) return
      if (!this.#writes.every(isEmpty) || this.#log.dirty(false)) this.#try(false)
      else this.#probe()
    })
  }

  /** Is there room again? */
  #probe(): void {
    this.#writes.push({
      apply: () => void this.db.prepare("INSERT OR REPLACE INTO meta VALUES ('probe', ?)").run('x'.repeat(1024)),
      done: () => {},
      keep: true,
    })
    this.#try(false)
  }

  #degrade(error: SluiceError): void {
    if (this.#down?.code === error.code) return
    this.#down = error
    this.#emit({ type: 'store-degraded', code: error.code, detail: String(error.cause) })
    for (const reject of this.#impatient) reject(error)
  }

  /** The store can't be believed any more: nothing is acknowledged from now on. */
  fail(cause: unknown, writes: readonly Write[] = []): void {
    if (this.#down?.code === 'storage_failed') return
    const error = new SluiceError('storage_failed', { cause })
    this.#degrade(error)
    const all = [...writes, ...this.#writes]
    this.#writes = []
    for (const write of all) write.done(error)
    this.#log.failed(error)
    this.#syncs.giveUp(error)
  }

  // ------------------------------------------------------------ sync

  /** Payload of a write, bytes. */
  wrote(bytes: number): void {
    this.#sinceCheckpoint += bytes
  }

  #wrote(bytes: number): void {
    this.#sinceCheckpoint += bytes
    if (this.#sinceCheckpoint < CHECKPOINT_BYTES || this.#disk === null) return
    this.#sinceCheckpoint = 0
    this.#disk.checkpoint()
  }

  /** Calls `told` when all that is committed now is safe from power loss; at once where that was not asked for. */
  whenSynced(told: Synced): void {
    this.#syncs.when(told)
  }

  /** As `whenSynced`. */
  synced(): Promise<void> {
    return new Promise((resolve, reject) => this.whenSynced((error) => (error === null ? resolve() : reject(error))))
  }

  #diskEvents(): DiskEvents {
    return {
      synced: (ms, walBytes) => {
        this.#syncMs.record(ms)
        this.#wal.is(walBytes)
        crashpoint('after-sync')
        this.#syncs.done()
        this.#tidyLater() // ends that were told leave segments that nobody needs
        this.#syncs.beginIfDue()
      },
      hold: () => {
        this.#held = true
        this.#disk!.held()
        this.#clock.after(HOLD_MS, () => this.#release())
      },
      release: () => this.#release(),
      checkpointed: (walBytes) => {
        const detail = this.#wal.checkpointed(walBytes)
        if (detail !== null) this.warn('wal_held', detail)
      },
      failed: (detail) => {
        if (!this.#closed) this.fail(new Error(detail))
      },
    }
  }

  #release(): void {
    if (!this.#held) return
    this.#held = false
    this.commit(false)
  }

  // ------------------------------------------------------------ end

  /**
   * Commits and syncs what is pending, and `last`. Each step has a bound: a lock or a disk that hangs must not keep
   * the process alive.
   */
  async close(last: () => void): Promise<void> {
    if (this.#closed) return
    this.#held = false
    if (this.#down === null) this.commit(false)
    // A store that is down: the next start finds what was committed
    await this.#atMost(CLOSE_MS, this.whileUp(this.#commitAndSync(last)))
    this.#closed = true
    const error = new SluiceError('draining')
    for (const write of this.#writes.splice(0)) write.done(error)
    this.#syncs.giveUp(error)
    this.#log.failed(error)
    if (this.#disk !== null) await this.#atMost(CLOSE_MS, this.#disk.close())
  }

  async #commitAndSync(last: () => void): Promise<void> {
    await this.run(last, false)
    await this.synced()
  }

  async #atMost(ms: number, work: Promise<unknown>): Promise<void> {
    let cancel = (): void => {}
    const late = new Promise<void>((done) => (cancel = this.#clock.after(ms, done)))
    await Promise.race([work.catch(() => {}), late])
    cancel()
  }
}
