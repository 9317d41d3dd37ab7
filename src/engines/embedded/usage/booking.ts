/**
 * What attempts came to, and what is used of the limits then: one write a commit, however many attempts end in it, and
 * always in that of their ends.
 */
import type { StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import type { SluiceError } from '../../../core/errors.ts'
import type { LevelState } from '../../../core/limits.ts'
import type { Coordinator } from '../../../core/ports/coordinator.ts'
import type { StoredUsage } from '../../../core/ports/ledger.ts'
import type { UsageRecord } from '../../../core/usage-record.ts'
import type { Age } from '../disk/age.ts'
import type { Store, Write } from '../disk/store.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { UsageRows } from './ledger.ts'
import type { LevelRows } from './levels.ts'

export interface BookingParts {
  readonly store: Store
  readonly coordinator: Pick<Coordinator, 'takeLevels'>
  readonly clock: Clock
  readonly age: Age
  readonly levels: LevelRows
  readonly usage: UsageRows
}

export class Bookings {
  readonly #parts: BookingParts
  readonly #booked: StatementSync
  #next: Booking | null = null

  constructor(parts: BookingParts) {
    this.#parts = parts
    this.#booked = parts.store.db.prepare('UPDATE unfinished SET unbooked = NULL WHERE ord = ?')
  }

  /** `order`: of a job whose attempt ended with the last process, and was not booked since. */
  add(record: UsageRecord, order: number | null): void {
    this.#open((booking) => booking.add({ ...record, atMs: Math.floor(this.#parts.clock.wallMs()) }, order))
  }

  /** A job holds something from now on; the limits are stored as they are then, if the job is. */
  addHold(log: Pick<LiveLog, 'held'>): void {
    this.#open((booking) => booking.addHold(log))
  }

  /** The store may refuse it at once. */
  #open(fill: (booking: Booking) => void): void {
    const booking = this.#next ?? new Booking(this.#parts, this.#booked, () => (this.#next = null))
    fill(booking)
    if (this.#next !== null) return
    this.#next = booking
    this.#parts.store.write(booking)
  }
}

class Booking implements Write {
  readonly keep = true
  readonly #parts: BookingParts
  readonly #booked: StatementSync
  readonly #over: () => void
  readonly #records: StoredUsage[] = []
  readonly #orders: number[] = []
  readonly #holds: Array<Pick<LiveLog, 'held'>> = []
  /** Of all tries of this commit, the last of a level last. */
  #levels: readonly LevelState[] = []

  constructor(parts: BookingParts, booked: StatementSync, over: () => void) {
    this.#parts = parts
    this.#booked = booked
    this.#over = over
  }

  add(record: StoredUsage, order: number | null): void {
    this.#records.push(record)
    if (order !== null) this.#orders.push(order)
  }

  addHold(log: Pick<LiveLog, 'held'>): void {
    this.#holds.push(log)
  }

  isEmpty(): boolean {
    return this.#records.length === 0 && this.#holds.every(({ held }) => held)
  }

  apply(): void {
    if (this.isEmpty()) return
    const { coordinator, clock, age, levels, usage } = this.#parts
    const changed = coordinator.takeLevels(clock.monoMs())
    this.#levels = this.#levels.length === 0 ? changed : [...this.#levels, ...changed]
    usage.insert(this.#records, age.now())
    levels.write(this.#levels)
    for (const order of this.#orders) this.#booked.run(order)
  }

  done(error: SluiceError | null): void {
    const { store, levels, usage } = this.#parts
    this.#over()
    if (error === null) {
      usage.committed(this.#records.length)
      levels.committed()
      store.wrote(this.#records.length * RECORD_BYTES)
    } else if (error.code === 'internal')
      store.warn('row_damaged', `The usage of ${this.#records.length} attempts can't be stored: ${error.cause}`)
  }
}

/** About what a record and its share of sums and levels write. */
const RECORD_BYTES = 512
