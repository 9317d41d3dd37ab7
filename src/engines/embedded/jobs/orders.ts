/**
 * Order numbers of jobs. They come from a counter, never from a clock: no number is given twice and none is below an
 * earlier one, whatever the wall clock does, even if the jobs of earlier numbers are gone. Numbers are reserved in
 * blocks; a start continues after the last block, so that a number that was given but not stored is not given again.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Ids } from '../../../core/ids.ts'
import { damage } from '../disk/faults.ts'
import type { Store } from '../disk/store.ts'

/** At one block a start, and 5,000 jobs/s in between, the safe integers last for 50,000 years. */
const BLOCK = 1 << 20
/** A new folder begins at a random number below 2^40: ids do not reveal how many jobs there were. */
const FIRST_BYTES = 5

export class Orders {
  #last: number
  /** All up to this are reserved on disk. */
  #reserved: number
  readonly #save: (store: Store) => Promise<void>

  /** Reserves its first block with the start, whose commits are synced. */
  constructor(db: DatabaseSync, ids: Ids) {
    const known = db.prepare("SELECT value FROM meta WHERE key = 'orders'").get() as { value: string } | undefined
    this.#last =
      known === undefined ? ids.random(FIRST_BYTES).reduce((n, byte) => n * 256 + byte, 0) : Number(known.value)
    if (!Number.isSafeInteger(this.#last)) throw damage('its counter of jobs is not readable')
    this.#reserved = this.#last + BLOCK
    const save = db.prepare("INSERT OR REPLACE INTO meta VALUES ('orders', ?)")
    save.run(String(this.#reserved))
    this.#save = (store) => {
      this.#reserved = Math.max(this.#reserved, this.#last) + BLOCK
      const reserved = String(this.#reserved)
      return store.run(() => void save.run(reserved), true)
    }
  }

  /** Half a block ahead of need the next one is reserved, in a commit before the one that stores the job. */
  next(store: Store): number {
    // the store's health shows it
    if (this.#last + BLOCK / 2 > this.#reserved) void this.#save(store).catch(() => {})
    return ++this.#last
  }

  /** A job comes with this one, which was given in a life of the folder that a backup does not know. */
  seen(order: number, store: Store): void {
    if (order <= this.#last) return
    this.#last = order
    void this.#save(store).catch(() => {})
  }
}
