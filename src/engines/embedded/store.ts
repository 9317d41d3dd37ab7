/**
 * The rhythm of the store: writes are queued and committed together, in one transaction, by the wheel's beat or at the end of this
 * turn of the event loop. A commit is a write into the page cache; syncs and checkpoints are the disk thread's.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock, Wheel } from '../../core/clock.ts'
import { crashpoint } from '../../core/crashpoint.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Emit } from '../../core/facts.ts'
import type { Disk, DiskEvents } from './disk.ts'

export type Durability = 'memory' | 'process' | 'power'

export interface Write {
  /** Inside the transaction. May run again, should the transaction fail. */
  apply(): void
  /** Committed (null), or never to be. */
  done(error: SluiceError | null): void
  /** Kept and tried again while the disk is full; else refused. */
  readonly keep: boolean
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
}

const FULL_RETRY_MS = 250
const SYNC_SPACING_MS = 2
/** Token records of a power-safe store wait at most as long for their sync. */
const SYNC_EVERY_MS = 50
const CHECKPOINT_BYTES = 4 << 20
/** A commit writes a few pages besides its payload. */
const COMMIT_BYTES = 16_384
/** Commits wait at most as long for the last checkpoint before the WAL starts over. */
const HOLD_MS = 50
const TIMED_COMMITS = 4096

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
  #urgent = false
  #held = false
  #down: SluiceError | null = null
  #closed = false
  /** Commits so far, those a running sync covers, and those synced. */
  #commits = 0
  #syncing = 0
  #synced = 0
  #syncStartedAt = -Infinity
  #syncTimer = false
  #waiting: Array<{ readonly commit: number; readonly done: () => void; readonly fail: (error: SluiceError) => void }> =
    []
  #sinceCheckpoint = 0
  readonly #took = new Float64Array(TIMED_COMMITS)
  readonly numbers = { longestCommitMs: 0, commitsOver5Ms: 0, syncs: 0, longestSyncMs: 0, walBytes: 0, walMaxBytes: 0 }

  constructor(options: StoreOptions) {
    this.db = options.db
    this.durability = options.durability
    this.#clock = options.clock
    this.#wheel = options.wheel
    this.#emit = options.emit
    this.#begin = this.db.prepare('BEGIN IMMEDIATE')
    this.#commit = this.db.prepare('COMMIT')
    this.#rollback = this.db.prepare('ROLLBACK')
  }

  /** Begins to turn. */
  start(log: LogShare, disk: ((events: DiskEvents) => Disk) | null): void {
    this.#log = log
    this.#disk = disk?.(this.#diskEvents()) ?? null
    this.#wheel.onBeat(() => {
      if (this.#closed) return false
      const work = this.#writes.length > 0 || this.#log.dirty(true)
      if (work) this.commit(true)
      this.#syncIfDue()
      return work || (this.durability === 'power' && this.#commits > this.#synced && this.#down === null)
    })
  }

  /** Why no work can be taken; null when it can. */
  get down(): SluiceError | null {
    return this.#down
  }

  get commits(): number {
    return this.#commits
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

  /** As `write`; resolves when committed. */
  run(apply: () => void, keep: boolean): Promise<void> {
    return new Promise((resolve, reject) =>
      this.write({ apply, keep, done: (error) => (error === null ? resolve() : reject(error)) }),
    )
  }

  /** Commit with the next beat. */
  turn(): void {
    this.#wheel.turn()
  }

  /** Commit at the end of this turn. */
  urgent(): void {
    if (this.#urgent) return
    this.#urgent = true
    this.#clock.soon(() => {
      this.#urgent = false
      this.commit(false)
    })
  }

  /** Now, unless the store is held or down. */
  commit(beat: boolean): void {
    if (this.#closed || this.#held || this.#down !== null) return
    this.#try(beat)
  }

  #try(beat: boolean): void {
    const writes = this.#writes
    if (writes.length === 0 && !this.#log.dirty(beat)) return
    this.#writes = []
    const startedAt = this.#clock.monoMs()
    let at = 0
    try {
      this.#begin.run()
      for (; at < writes.length; at++) writes[at].apply()
      this.#log.write(beat)
      crashpoint('before-commit')
      this.#commit.run()
    } catch (cause) {
      this.#undo(writes, at, cause)
      return
    }
    crashpoint('after-commit')
    this.#time(this.#clock.monoMs() - startedAt)
    if (this.#down !== null) {
      this.#down = null
      this.#emit({ type: 'store-recovered' })
    }
    this.#wrote(COMMIT_BYTES)
    this.#wheel.turn()
    this.#log.written()
    for (const write of writes) write.done(null)
  }

  #time(ms: number): void {
    this.#took[this.#commits++ % TIMED_COMMITS] = ms
    if (ms > 5) this.numbers.commitsOver5Ms++
    if (ms > this.numbers.longestCommitMs) this.numbers.longestCommitMs = ms
  }

  #undo(writes: Write[], at: number, cause: unknown): void {
    if (this.db.isTransaction) this.#rollback.run()
    const kind = kindOf(cause)
    if (kind === 'busy') {
      // Somebody else looks at the file: with the next beat
      this.#writes = [...writes, ...this.#writes]
      this.#wheel.turn()
    } else if (kind === 'full') {
      const error = new SluiceError('storage_full', { cause })
      this.#writes = [...writes.filter((w) => w.keep), ...this.#writes.filter((w) => w.keep)]
      this.#degrade(error)
      for (const write of writes) if (!write.keep) write.done(error)
      this.#clock.after(FULL_RETRY_MS, () => {
        if (this.#down?.code !== 'storage_full' || this.#closed) return
        if (this.#writes.length > 0 || this.#log.dirty(false)) this.#try(false)
        else this.#probe()
      })
    } else if (kind === 'other' && at < writes.length) {
      // One write is not like the others: without it
      this.#writes = [...writes.filter((_, i) => i !== at), ...this.#writes]
      if (this.#writes.length > 0) this.urgent()
      writes[at].done(new SluiceError('internal', { cause }))
    } else this.fail(cause, writes)
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
    for (const waiter of this.#waiting.splice(0)) waiter.fail(error)
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

  /** Resolves when all that is committed now is safe from power loss; at once where that was not asked for. */
  synced(commit = this.#commits): Promise<void> {
    if (this.durability !== 'power' || commit <= this.#synced) return Promise.resolve()
    if (this.#down?.code === 'storage_failed') return Promise.reject(this.#down)
    return new Promise((done, fail) => {
      this.#waiting.push({ commit, done, fail })
      this.#syncIfDue()
    })
  }

  #syncIfDue(): void {
    if (
      this.#syncing > 0 ||
      this.durability !== 'power' ||
      this.#commits === this.#synced ||
      this.#down?.code === 'storage_failed'
    )
      return
    const now = this.#clock.monoMs()
    const since = now - this.#syncStartedAt
    if (this.#waiting.length === 0 && since < SYNC_EVERY_MS) return
    if (since >= SYNC_SPACING_MS) {
      this.#syncing = this.#commits
      this.#syncStartedAt = now
      this.#disk!.sync()
    } else if (!this.#syncTimer) {
      this.#syncTimer = true
      this.#clock.after(SYNC_SPACING_MS - since, () => {
        this.#syncTimer = false
        this.#syncIfDue()
      })
    }
  }

  #diskEvents(): DiskEvents {
    return {
      synced: (ms, walBytes) => {
        const { numbers } = this
        numbers.syncs++
        numbers.walBytes = walBytes
        numbers.walMaxBytes = Math.max(numbers.walMaxBytes, walBytes)
        numbers.longestSyncMs = Math.max(numbers.longestSyncMs, ms)
        crashpoint('after-sync')
        this.#synced = this.#syncing
        this.#syncing = 0
        const covered = this.#waiting.filter((w) => w.commit <= this.#synced)
        this.#waiting = this.#waiting.filter((w) => w.commit > this.#synced)
        for (const waiter of covered) waiter.done()
        this.#syncIfDue()
      },
      hold: () => {
        this.#held = true
        this.#disk!.held()
        this.#clock.after(HOLD_MS, () => this.#release())
      },
      release: () => this.#release(),
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

  /** 99th percentile of the last commits, ms. */
  commitP99(): number {
    const took = this.#took.slice(0, Math.min(this.#commits, TIMED_COMMITS)).sort()
    return took.length === 0 ? 0 : took[Math.floor(took.length * 0.99)]
  }

  /** Commits and syncs what is pending, then `last`, whose write tells the next start that nothing was lost. */
  async close(last: () => void): Promise<void> {
    if (this.#closed) return
    this.#held = false
    if (this.#down === null) this.commit(false)
    try {
      if (this.#down === null) {
        await this.synced()
        await this.run(last, false)
        await this.synced()
      }
    } catch {
      // The store failed meanwhile: the next start finds what was committed
    }
    this.#closed = true
    for (const write of this.#writes.splice(0)) write.done(new SluiceError('draining'))
    await this.#disk?.close()
  }
}

/** What SQLite's result codes mean here (https://sqlite.org/rescode.html). */
function kindOf(cause: unknown): 'full' | 'busy' | 'failed' | 'other' {
  const code = (cause as { errcode?: number }).errcode
  if (code === undefined) return 'other'
  if (code === IOERR_SHMSIZE) return 'full'
  switch (code & 0xff) {
    case 13:
      return 'full'
    case 5:
    case 6:
      return 'busy'
    case 1:
    case 18:
    case 19:
    case 20:
    case 25:
      return 'other'
    default:
      return 'failed'
  }
}
/** The shared index of the WAL could not grow. */
const IOERR_SHMSIZE = 4874
