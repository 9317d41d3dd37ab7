/** The log of a job that has not ended: what was taken, what of it is committed, and who listens. */
import type { JobId } from '../../../core/job.ts'
import type { Following, LogListener } from '../../../core/ports/log.ts'
import type { Bytes } from '../../../core/record.ts'
import type { Link } from '../../../core/table.ts'
import { NO_CALLS } from '../../shared/calls.ts'
import { Encoder } from '../../shared/codec.ts'

const READY = Promise.resolve(null)
/** Of a log that has ended. */
export const NO_NEWS: Following = { ready: READY, stop() {} }

/** A beginning of the log that is on disk only. */
export interface Part {
  readonly n: number
  /** Its last seq. */
  readonly last: number
  readonly epoch: number
}

const NOTHING: readonly Bytes[] = []
const NOBODY: readonly LogListener[] = []
/** Pieces of as many commits are joined to one. */
const JOINED = 64

export class LiveLog {
  readonly job: JobId
  readonly order: number
  readonly epoch: number
  /** The attempt that may write; 0 = none. */
  attempt = 0
  /** An attempt to be noted, with its times and calls, in the next commit; 0 = none. */
  lease = 0
  queuedMs = 0
  ttftMs: number | null = null
  calls = NO_CALLS
  /** Last seq taken, and last that may be read. */
  taken = 0
  head = 0
  /** Taken and not committed: as records, and encoded. */
  run: readonly Bytes[] = NOTHING
  unsaved: Bytes = ''
  pendingBytes = 0
  dirty = false
  /** Its end was taken: it is stored whole with the next commit, and nothing follows. */
  ending = false
  /** Nothing of its job is stored yet: it runs, has promised nothing, and is stored with its end (decision 0036). */
  held = false
  heldMono = 0
  placeOfHeld = -1
  /** Its end may be read. */
  ended = false
  readonly encoder = new Encoder()
  readonly parts: Part[] = []
  /** Encoded and committed, behind the parts; `seqs[i]` is the last seq of `pieces[i]`. */
  pieces: Bytes[] = []
  seqs: number[] = []
  #joined = 0
  /** Length of all pieces. */
  bytes = 0
  /** The first segment that has something of it; 0 = none. And how much had been written to segments before. */
  firstSegment = 0
  writtenBefore = 0
  /** Among those with something in a segment; then among those that have just ended. */
  readonly link: Link<LiveLog> = { before: null, after: null }
  /** Among the logs that are to be moved for their length. */
  placeOfLarge = -1
  listeners: readonly LogListener[] = NOBODY
  waiters: Array<{ readonly resolve: () => void; readonly reject: (error: Error) => void }> = []

  constructor(job: JobId, order: number, epoch: number) {
    this.job = job
    this.order = order
    this.epoch = epoch
  }

  take(records: readonly Bytes[]): void {
    let { unsaved, pendingBytes } = this
    for (const record of records) {
      unsaved += this.encoder.encode(record)
      pendingBytes += record.length
    }
    this.unsaved = unsaved
    this.pendingBytes = pendingBytes
    this.run = this.run.length === 0 ? records : this.run.concat(records)
    this.taken += records.length
  }

  /** What was taken is committed as `piece`; returns it as records. The end record may not be read yet. */
  saved(piece: Bytes): readonly Bytes[] {
    const { run } = this
    this.run = NOTHING
    this.unsaved = ''
    this.pendingBytes = 0
    this.dirty = false
    this.lease = 0
    this.head = this.ending ? this.taken - 1 : this.taken
    if (piece !== '') {
      this.pieces.push(piece)
      this.seqs.push(this.taken)
      this.bytes += piece.length
      if (this.pieces.length - this.#joined === JOINED) this.#join()
    }
    for (const waiter of this.waiters.splice(0)) waiter.resolve()
    return this.ending ? run.slice(0, -1) : run
  }

  #join(): void {
    this.pieces.push(this.pieces.splice(this.#joined).join(''))
    this.seqs.splice(this.#joined, JOINED - 1)
    this.#joined++
  }

  /** All that was taken is on disk, the last of it as this part; the next piece is readable by itself. */
  moved(part: number): void {
    this.parts.push({ n: part, last: this.taken, epoch: this.epoch })
    this.pieces = []
    this.seqs = []
    this.#joined = 0
    this.bytes = 0
    this.encoder.reset()
  }

  /** Last seq that is on disk only. */
  get partsEnd(): number {
    return this.parts.length === 0 ? 0 : this.parts[this.parts.length - 1].last
  }

  /** Everything behind the parts, encoded. */
  whole(): Bytes {
    return this.pieces.length === 0 ? this.unsaved : this.pieces.join('') + this.unsaved
  }

  tell(firstSeq: number, records: readonly Bytes[]): void {
    for (const listener of this.listeners) {
      try {
        listener(firstSeq, records, this.epoch)
      } catch (error) {
        // A reader's bug must not stop the commit that it was told of
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  /** Listeners may come and go while they are told: each change makes a new list. */
  follow(listener: LogListener): Following {
    this.listeners = [...this.listeners, listener]
    const stop = (): void => {
      this.listeners = this.listeners.filter((other) => other !== listener)
    }
    return { ready: this.ended ? READY : null, stop }
  }
}
