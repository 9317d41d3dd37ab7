/**
 * How token records lie on disk while their jobs live: one row a commit (a segment) for all logs, in order of commit.
 * A table clustered by job would touch a page of its own for each job and commit, and SQLite logs whole pages.
 *
 * A segment is a sequence of entries: order number of the job (7 bytes, high first), varint of the attempt that this
 * entry notes (0 = none), varint of the number of records, varint of the length, encoded records (codec.ts). An entry
 * that notes an attempt has no records but what is known of the attempt: varint of the time in line, varint of the time
 * to the first text plus one (0 = there was none yet), its deployment; then, where it had two calls, a zero byte, and
 * where the second one runs beside the first (nowhere: it is the one that goes on). Earlier versions wrote no
 * deployment, and the time to the first text as it is, which reads a millisecond short; before that no times, and
 * records with the attempt.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import { Chain } from '../../../core/table.ts'
import { type Calls, NO_CALLS } from '../../shared/calls.ts'
import { varint } from '../../shared/codec.ts'
import { checksumOf, expectIntact, isIntact } from '../disk/checksum.ts'
import type { LiveLog } from './live-log.ts'

/** Rows deleted with one commit. */
const DROPPED_AT_ONCE = 32
/** A log may not keep more than this of others' segments alive: it is moved. */
const MAX_SPAN_BYTES = 64 << 20
/** What may be moved with one commit. */
const MOVED_AT_ONCE_BYTES = 256 << 10
/** What a move costs besides. */
const MOVE_COST_BYTES = 1024

const ORDER_BYTES = 7

export interface Entry {
  readonly order: number
  readonly lease: number
  readonly records: number
  readonly data: Bytes
}

export function entry(order: number, lease: number, records: number, data: Bytes): Bytes {
  const [high, low] = [Math.floor(order / 0x1000000), order % 0x1000000]
  const tag = String.fromCharCode(
    Math.floor(high / 0x1000000),
    (high >>> 16) & 255,
    (high >>> 8) & 255,
    high & 255,
    low >>> 16,
    (low >>> 8) & 255,
    low & 255,
  )
  return tag + varint(lease) + varint(records) + varint(data.length) + data
}

/** What is to be known of an attempt that never ends. */
export interface Begun {
  readonly queuedMs: number
  readonly ttftMs: number | null
  readonly calls: Calls
}

export function leaseEntry(order: number, attempt: number, { queuedMs, ttftMs, calls }: Begun): Bytes {
  const times = varint(Math.round(queuedMs)) + varint(ttftMs === null ? 0 : Math.round(ttftMs) + 1)
  return entry(order, attempt, 0, times + toBytes(writeCalls(calls)))
}

/** What another model answers has no second call. */
const writeCalls = ({ deployment, isHedge, beside, model }: Calls): string =>
  model !== undefined
    ? `${deployment}\0\0${model}`
    : beside === undefined && !isHedge
      ? (deployment ?? '')
      : `${deployment}\0${beside ?? ''}`

function readCalls(text: string): Calls {
  const [deployment, beside, model] = text.split('\0', 3)
  if (deployment === '') return NO_CALLS
  if (model !== undefined) return { deployment, model }
  if (beside === undefined) return { deployment }
  return beside === '' ? { deployment, isHedge: true } : { deployment, beside }
}

/** Null: an earlier version wrote the entry. */
export function begunOf(data: Bytes): Begun | null {
  if (data === '') return null
  const cursor = new Cursor(data)
  const queuedMs = cursor.number()
  const ttft = cursor.done ? 0 : cursor.number()
  return { queuedMs, ttftMs: ttft === 0 ? null : ttft - 1, calls: readCalls(toText(cursor.rest())) }
}

class Cursor {
  readonly #bytes: Bytes
  #at = 0

  constructor(bytes: Bytes) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** A varint. */
  number(): number {
    let n = 0
    for (let scale = 1; ; scale *= 128) {
      const c = this.take(1).charCodeAt(0)
      n += (c & 127) * scale
      if (c < 128) return n
    }
  }

  rest(): Bytes {
    return this.take(this.#bytes.length - this.#at)
  }

  take(length: number): Bytes {
    const from = this.#at
    this.#at += length
    if (!(this.#at <= this.#bytes.length)) throw new Error('a segment is damaged')
    return this.#bytes.slice(from, this.#at)
  }
}

export function* entries(segment: Bytes): Generator<Entry> {
  const cursor = new Cursor(segment)
  while (!cursor.done) {
    let order = 0
    for (const char of cursor.take(ORDER_BYTES)) order = order * 256 + char.charCodeAt(0)
    const [lease, records, length] = [cursor.number(), cursor.number(), cursor.number()]
    yield { order, lease, records, data: cursor.take(length) }
  }
}

/**
 * The stored segments in order, with what they hold. From a damaged one on they hold nothing: the logs end where it
 * begins, as after a power loss, for nobody knows whose records it had.
 */
export function* storedSegments(
  db: DatabaseSync,
  damaged: (n: number) => void,
): Generator<{ readonly n: number; readonly entries: Iterable<Entry> }> {
  let intact = true
  for (const { n, data, checksum } of db
    .prepare('SELECT n, data, checksum FROM segments ORDER BY n')
    .iterate() as Iterable<{ n: number; data: Uint8Array; checksum: number | null }>) {
    if (intact && !isIntact(data, n, checksum)) {
      intact = false
      damaged(n)
    }
    yield { n, entries: intact ? entries(latin1(data)) : [] }
  }
}

/** A part of a log as it is stored. */
export interface StoredPart {
  readonly order: number
  /** Holds what segments before this had. */
  readonly segment: number
  readonly records: number
  readonly epoch: number
  readonly data: Uint8Array
}

const INSERT_PART = 'INSERT INTO parts (n, ord, segment, records, data, epoch, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)'

/** `n` null: the next number. Returns the part's. */
export function partsWriter(db: DatabaseSync): (n: number | null, part: StoredPart) => number {
  const insert = db.prepare(INSERT_PART)
  return (n, { order, segment, records, data, epoch }) =>
    Number(insert.run(n, order, segment, records, data, epoch, checksumOf(data, records)).lastInsertRowid)
}

export class Segments {
  readonly #insert: StatementSync
  readonly #drop: StatementSync
  readonly #writePart: (n: number, part: StoredPart) => number
  readonly #readPart: StatementSync
  /** Logs with something in a segment, the one with the oldest first. */
  readonly #open = new Chain<LiveLog>()
  /** Number of the last segment, and of the oldest that is there. */
  #last: number
  #oldest: number
  #lastPart: number
  #writtenBytes = 0
  /** Logs take too much memory: all are to be moved. */
  squeeze = false
  /** Segments before this are to go soon, whoever needs them. */
  #unwantedBefore = 0
  #wanting: Array<{ readonly before: number; readonly done: () => void }> = []

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare('INSERT INTO segments VALUES (?, ?, ?)')
    this.#drop = db.prepare('DELETE FROM segments WHERE n >= ? AND n < ?')
    this.#writePart = partsWriter(db)
    this.#readPart = db.prepare('SELECT records, data, checksum FROM parts WHERE n = ?')
    const found = db
      .prepare(
        'SELECT max(n) AS last, min(n) AS oldest, (SELECT max(n) FROM parts) AS part, (SELECT segment FROM ' +
          'parts ORDER BY n DESC LIMIT 1) AS held FROM segments',
      )
      .get() as Record<string, number | null>
    // Numbers never start over while a part refers to them
    this.#last = Math.max(found['last'] ?? 0, found['held'] ?? 0)
    this.#oldest = found['oldest'] ?? this.#last + 1
    this.#lastPart = found['part'] ?? 0
  }

  get count(): number {
    return this.#last + 1 - this.#oldest
  }

  // ------------------------------------------------------------ inside the transaction

  append(data: Uint8Array): void {
    this.#insert.run(this.#last + 1, data, checksumOf(data, this.#last + 1))
  }

  /**
   * Stores all of the log, its unsaved records included, as a part; returns the part's number. `i`: which one of this
   * commit.
   */
  move(log: LiveLog, i: number): number {
    const part = this.#lastPart + 1 + i
    if (log.taken === log.partsEnd) return part
    this.#writePart(part, {
      order: log.order,
      segment: this.#last + 1,
      records: log.taken - log.partsEnd,
      epoch: log.epoch,
      data: Buffer.from(log.whole(), 'latin1'),
    })
    return part
  }

  /** Deletes some segments that nobody needs. Returns the oldest that is left. */
  drop(): number {
    const until = Math.min(this.#needed, this.#oldest + DROPPED_AT_ONCE)
    if (until > this.#oldest) this.#drop.run(this.#oldest, until)
    return Math.max(until, this.#oldest)
  }

  // ------------------------------------------------------------ after it

  appended(bytes: number): void {
    this.#last++
    this.#writtenBytes += bytes
  }

  moved(parts: number): void {
    this.#lastPart += parts
  }

  dropped(oldest: number): void {
    this.#oldest = oldest
    if (this.#wanting.length === 0) return
    for (const want of this.#wanting) if (oldest >= want.before) want.done()
    this.#wanting = this.#wanting.filter((w) => oldest < w.before)
  }

  /** The log has something in the last segment. */
  opened(log: LiveLog): void {
    if (log.firstSegment !== 0) return
    log.firstSegment = this.#last
    log.writtenBefore = this.#writtenBytes
    this.#open.add(log)
  }

  /** The log needs no segment any more. */
  closed(log: LiveLog): void {
    if (log.firstSegment === 0) return
    log.firstSegment = 0
    this.#open.delete(log)
  }

  // ------------------------------------------------------------ cleaning

  get #needed(): number {
    return this.#open.first?.firstSegment ?? this.#last + 1
  }

  /** Is there enough to delete, or time for it? */
  untidy(idle: boolean): boolean {
    const droppable = this.#needed - this.#oldest
    return (
      droppable >= DROPPED_AT_ONCE || (droppable > 0 && (idle || this.#wanting.length > 0)) || this.#overdue !== null
    )
  }

  /** The log that keeps segments alive which should go. */
  get #overdue(): LiveLog | null {
    const { first } = this.#open
    return first !== null && this.#isOverdue(first) ? first : null
  }

  #isOverdue(log: LiveLog): boolean {
    return (
      this.squeeze || log.firstSegment < this.#unwantedBefore || this.#writtenBytes - log.writtenBefore > MAX_SPAN_BYTES
    )
  }

  /** Logs to be moved with this commit; `large` ones first. */
  *toMove(large: Iterable<LiveLog>): Generator<LiveLog> {
    let bytes = 0
    for (const log of large) {
      if (!log.ending) yield log
      bytes += log.bytes + MOVE_COST_BYTES
      if (bytes > MOVED_AT_ONCE_BYTES) return
    }
    for (const log of this.#open) {
      if (!this.#isOverdue(log) || log.ending) return
      yield log
      bytes += log.bytes + MOVE_COST_BYTES
      if (bytes > MOVED_AT_ONCE_BYTES) return
    }
  }

  /** Resolves when all segments there are now are gone: nothing of a log that was erased can be read back. */
  renewed(): Promise<void> {
    const before = this.#last + 1
    if (this.#oldest >= before) return Promise.resolve()
    this.#unwantedBefore = before
    return new Promise((done) => void this.#wanting.push({ before, done }))
  }

  part(n: number): Bytes {
    const row = this.#readPart.get(n) as { records: number; data: Uint8Array; checksum: number | null } | undefined
    if (row === undefined) return ''
    expectIntact('The log of this job', row.data, row.records, row.checksum)
    return latin1(row.data)
  }
}

export const latin1 = (data: Uint8Array): Bytes =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1')
