/**
 * The store's own time. Delays, deadlines, retries and retention are stored as its age, in ms. It never goes
 * back, and counts only time that is known to have passed: while the process runs, by the monotonic clock; between two
 * processes of one boot, by the machine's boot clock. Time while the machine was off is not counted, since only the
 * wall clock could tell it, which may be an hour slow or ten years fast: a deadline is then as far away as before.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import type { Boot } from '../../../core/ports/engine.ts'
import { damage } from './faults.ts'
import type { Store } from './store.ts'

/** After a power loss at most this much of the age is lost. */
const NOTE_EVERY_MS = 10_000

interface Note {
  readonly age: number
  readonly boot: string
  readonly bootMs: number | null
}

export class Age {
  readonly #clock: Clock
  readonly #boot: Boot
  readonly #save: StatementSync
  /** The age at monotonic 0. */
  readonly #base: number

  /** Stores the age during the start, whose commits are synced. */
  constructor(db: DatabaseSync, clock: Clock, boot: Boot) {
    this.#clock = clock
    this.#boot = boot
    const row = db.prepare("SELECT value FROM meta WHERE key = 'age'").get() as { value: string } | undefined
    const newest = db.prepare('SELECT accepted_age AS age FROM jobs ORDER BY ord DESC LIMIT 1').get() as
      | { age: number }
      | undefined
    const noted = row === undefined ? NOTHING : read(row.value)
    const age = Math.max(noted.age + passedSince(noted, boot), newest?.age ?? 0)
    this.#base = age - clock.monoMs()
    this.#save = db.prepare("INSERT OR REPLACE INTO meta VALUES ('age', ?)")
    this.note()
  }

  /** Whole ms. */
  now(): number {
    return this.of(this.#clock.monoMs())
  }

  of(mono: number): number {
    return Math.floor(this.#base + mono)
  }

  /** May be negative: before this process. */
  mono(age: number): number {
    return age - this.#base
  }

  /** Inside a transaction, or at the start. */
  note(): void {
    const note: Note = { age: this.now(), boot: this.#boot.id, bootMs: this.#boot.ms() }
    this.#save.run(JSON.stringify(note))
  }

  /** Stores the age now and then while the store is in use. Returns a function that stops it. */
  keep(store: Store): () => void {
    let noted = store.commits
    return this.#clock.every(NOTE_EVERY_MS, () => {
      if (store.commits === noted || store.down !== null) return
      store
        .run(() => this.note(), false)
        .then(
          () => (noted = store.commits),
          () => {}, // the store failed, which its health shows
        )
    })
  }
}

const NOTHING: Note = { age: 0, boot: '', bootMs: null }

function read(text: string): Note {
  try {
    return JSON.parse(text) as Note
  } catch {
    throw damage('the note of its age is not readable')
  }
}

function passedSince(noted: Note, boot: Boot): number {
  const bootMs = boot.ms()
  if (noted.boot !== boot.id || noted.bootMs === null || bootMs === null) return 0
  return Math.max(0, bootMs - noted.bootMs)
}
