/**
 * A log that readers of this process follow. What arrives is told in order: from where this process left off, and only
 * while it is the log that was followed. What can't be told yet is held until the gap before it was read.
 */
import type { JobId } from '../../../core/job.ts'
import type { LogListener } from '../../../core/ports/log.ts'
import { type Bytes, isEnd } from '../../../core/record.ts'
import { type Chunk, Decoder } from './chunk.ts'

/** Held at most; beyond that it is read from the log. */
const MAX_HELD_BYTES = 256 << 10

/** A run of records: as a chunk from another process, or from an attempt of this one. */
export interface Arrival {
  readonly epoch: number
  readonly firstSeq: number
  readonly count: number
  readonly what: Chunk | readonly Bytes[]
}

/** `told`: told, or old. `gap`: something before it is missing. `ended`: told, and it was the end. */
export type Taken = 'told' | 'gap' | 'ended'

const NOBODY: readonly LogListener[] = []
const isChunk = (what: Arrival['what']): what is Chunk => !Array.isArray(what)

export class FollowedLog {
  readonly job: JobId
  listeners: readonly LogListener[] = NOBODY
  /** `reading`: what arrives is held until the log was read up to it. */
  state: 'joining' | 'live' | 'reading' = 'joining'
  /** The last record that was told, and the epoch in which it was written. */
  seq = 0
  epoch = 0
  heardMono: number
  /** Of logs, when this one was last known to be there. */
  since = 0
  /** Called where it is not the log any more whose records were told. */
  rewritten: ReadonlyArray<(epoch: number) => void> = []
  readonly decoder = new Decoder()
  #held: Arrival[] = []
  #heldBytes = 0

  constructor(job: JobId, nowMono: number) {
    this.job = job
    this.heardMono = nowMono
  }

  /** Begins after this record, which others tell; what it knew of the log before is void. */
  startAt(seq: number, epoch: number): void {
    this.seq = seq
    this.epoch = epoch
    this.decoder.forget()
  }

  hold(arrival: Arrival): void {
    if (this.#heldBytes > MAX_HELD_BYTES) return
    this.#held.push(arrival)
    this.#heldBytes += isChunk(arrival.what)
      ? arrival.what.body.length
      : arrival.what.reduce((sum, record) => sum + record.length, 0)
  }

  /** What was held, in order; from now on nothing is. */
  release(): readonly Arrival[] {
    this.#heldBytes = 0
    return this.#held.splice(0)
  }

  /**
   * `isRead`: from the log, after the record that was told last. Else the first run of another epoch is a gap: what
   * comes before it may be other records of the same numbers. Throws where the chunk is damaged.
   */
  take({ epoch, firstSeq, count, what }: Arrival, isRead = false): Taken {
    const last = firstSeq + count - 1
    const { seq } = this
    if (epoch < this.epoch || (epoch === this.epoch && last <= seq)) return 'told'
    if (firstSeq > seq + 1 || (epoch !== this.epoch && seq > 0 && !isRead)) return 'gap'
    let records: readonly Bytes[]
    if (isChunk(what)) {
      if (!this.decoder.canRead(what)) return 'gap'
      records = this.decoder.read(what, seq + 1)
    } else records = firstSeq <= seq ? what.slice(seq + 1 - firstSeq) : what
    this.seq = last
    this.epoch = epoch
    this.#tell(seq + 1, records)
    return isEnd(records[records.length - 1]) ? 'ended' : 'told'
  }

  /** Listeners may come and go while they are told: each change makes a new list. */
  add(listener: LogListener, rewritten?: (epoch: number) => void): void {
    this.listeners = [...this.listeners, listener]
    if (rewritten !== undefined) this.rewritten = [...this.rewritten, rewritten]
  }

  delete(listener: LogListener, rewritten?: (epoch: number) => void): void {
    this.listeners = this.listeners.filter((other) => other !== listener)
    if (rewritten !== undefined) this.rewritten = this.rewritten.filter((other) => other !== rewritten)
  }

  #tell(firstSeq: number, records: readonly Bytes[]): void {
    for (const listener of this.listeners) {
      try {
        listener(firstSeq, records, this.epoch)
      } catch (error) {
        // A reader's bug must not stop the others
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
