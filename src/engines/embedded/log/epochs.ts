/**
 * Epochs tell whether two cursors of one job refer to the same records. A log begins at epoch 1, and each start gives
 * unfinished logs a new one, drawn so that no copy of the folder draws it too. A cursor of an older epoch is valid as
 * far as this folder's log had come when that epoch ended; what follows was written by another run, or by another copy.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Ids } from '../../../core/ids.ts'

/** One start of the server. */
interface Start {
  readonly epoch: number
  /** Jobs before this order, unless they had ended. */
  readonly before: number
}

const FIRST = 1
/** Epochs grow by up to 2^28: two copies agree once in 268 million, and 2^25 starts fit a safe integer. */
const SPARE_BITS = 4
/** Starts that are remembered: cursors from before them are no longer valid. */
const KEPT = 1_000

export class Epochs {
  readonly #starts: readonly Start[]
  /** This start's, if it found unfinished jobs. */
  readonly #now: Start | null

  constructor(db: DatabaseSync, ids: Ids) {
    const earlier = db.prepare('SELECT epoch, before FROM epochs ORDER BY epoch').all() as unknown as Start[]
    const { last } = db.prepare('SELECT max(ord) AS last FROM unfinished').get() as { last: number | null }
    const drawn = Buffer.from(ids.random(4)).readUInt32LE() >>> SPARE_BITS
    this.#now = last === null ? null : { epoch: (earlier.at(-1)?.epoch ?? FIRST) + 1 + drawn, before: last + 1 }
    this.#starts = earlier
  }

  /** In the transaction that moves what the last run left in segments: that is of its epoch. */
  begin(db: DatabaseSync): void {
    if (this.#now === null) return
    db.prepare('INSERT INTO epochs VALUES (?, ?)').run(this.#now.epoch, this.#now.before)
    db.exec(`DELETE FROM epochs WHERE epoch < (SELECT min(epoch) FROM
      (SELECT epoch FROM epochs ORDER BY epoch DESC LIMIT ${KEPT}))`)
  }

  /** Of a job of this order, while it has not ended. */
  of(order: number): number {
    return this.#now !== null && order < this.#now.before ? this.#now.epoch : this.before(order)
  }

  /** As `of`, in the run before this one: what that left in segments is of this epoch. */
  before(order: number): number {
    return this.#starts.findLast((start) => order < start.before)?.epoch ?? FIRST
  }

  /** Was this an epoch of such a job, in this folder? */
  isKnown(order: number, epoch: number): boolean {
    return epoch === FIRST || this.#starts.some((start) => start.epoch === epoch && order < start.before)
  }
}
