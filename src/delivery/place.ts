/**
 * A reader's place in a log, whatever it reads through: checks its cursor, catches up at its own pace, then is fed
 * live. What it holds is a number and the renderer's state.
 */
import { SluiceError } from '../core/errors.ts'
import type { LogPage, TokenLog } from '../core/ports/log.ts'
import type { Bytes, Cursor } from '../core/record.ts'
import type { Dialect, DialectState } from './dialects/dialect.ts'
import type { Feed, FeedReader } from './feed.ts'

/** Where a reader's events go. */
export interface Outlet {
  /** It takes nothing more now. */
  readonly full: boolean
  /**
   * Bytes that may be read for it now, at most `most`; taken back with `release`. 0 parks the reader until `resume`.
   */
  claim(most: number): number
  release(claimed: number): void
  write(events: Bytes): void
  /** The last of it. `end`: the end record, where the log has come to it. */
  complete(events: Bytes, end: Bytes | null): void
  /** All there was has been written; what follows is live. */
  caughtUp(): void
  fail(thrown: unknown): void
}

export class Place implements FeedReader {
  readonly dialect: Dialect
  readonly #feed: Feed
  readonly #log: TokenLog
  readonly #pageBytes: number
  readonly #outlet: Outlet
  seq = 0
  state: DialectState
  live = false
  /** The client has everything up to here. */
  #skip = 0
  #catchingUp = false
  #left = false

  /** `pageBytes`: bytes of records read from the log at once. */
  constructor(dialect: Dialect, feed: Feed, log: TokenLog, pageBytes: number, outlet: Outlet) {
    this.dialect = dialect
    this.state = dialect.begin
    this.#feed = feed
    this.#log = log
    this.#pageBytes = pageBytes
    this.#outlet = outlet
  }

  get epoch(): number {
    return this.#feed.epoch
  }

  /**
   * Goes to just after `cursor`; null = the start. `gap`: the cursor's epoch is over, so it is at the start. `ended`:
   * there is nothing after it. Throws job_gone, cursor_ahead.
   */
  async seek(cursor: Cursor | null): Promise<'ok' | 'gap' | 'ended'> {
    if (cursor === null) return 'ok'
    const page = await this.#log.read(this.#feed.job, 0, 0)
    if (page === null) throw new SluiceError('job_gone')
    if (cursor.epoch !== null && cursor.epoch !== this.#feed.epoch) {
      if (cursor.seq > (await this.#log.commonWith(this.#feed.job, cursor.epoch))) return 'gap'
    } else if (cursor.seq > page.head) throw new SluiceError('cursor_ahead')
    if (page.ended && cursor.seq === page.head) return 'ended'
    if (this.dialect.beginsAnywhere) this.seq = cursor.seq
    else this.#skip = cursor.seq
    return 'ok'
  }

  /** Goes on reading, if it is parked and there is room. */
  resume(): void {
    if (this.live || this.#catchingUp || this.#left) return
    this.#catchUp().catch((error: unknown) => this.fail(error))
  }

  leave(): void {
    this.#left = true
  }

  fail(thrown: unknown): void {
    if (this.#left) return
    this.#left = true
    this.#outlet.fail(thrown)
  }

  take(events: Bytes, end: Bytes | null): void {
    if (this.#left) return
    if (!this.live) this.resume()
    else if (end !== null || this.state.over) this.#complete(events, end)
    else if (events !== '') {
      this.#outlet.write(events)
      if (!this.#outlet.full) return
      this.live = false
      this.resume()
    }
  }

  /** Reads the log until the feed has nothing that this reader lacks, or its outlet is full. */
  async #catchUp(): Promise<void> {
    this.#catchingUp = true
    try {
      while (!this.#left && !this.live) {
        // No await before the way out: room that comes in between would find this reader busy, and be lost on it
        const claimed = this.#outlet.claim(this.#pageBytes)
        if (claimed <= 0) return
        const page = await this.#read(claimed)
        if (this.#left) return
        if (page === null) throw new SluiceError('job_gone')
        const events = this.#render(page)
        if (this.state.over || (page.ended && this.seq === page.head))
          return this.#complete(events, page.ended ? (page.records.at(-1) ?? null) : null)
        if (events !== '') this.#outlet.write(events)
        if (this.seq >= page.head && this.seq >= this.#feed.head) {
          this.#feed.head = this.seq
          this.live = true
          this.#outlet.caughtUp()
        }
      }
    } finally {
      this.#catchingUp = false
    }
  }

  async #read(claimed: number): Promise<LogPage | null> {
    try {
      return await this.#log.read(this.#feed.job, this.seq, claimed)
    } finally {
      this.#outlet.release(claimed)
    }
  }

  #render({ epoch, firstSeq, records }: LogPage): Bytes {
    const last = firstSeq + records.length - 1
    if (last <= this.seq) return ''
    const run = { job: this.#feed.job, epoch, firstSeq, records }
    // What the client has is rendered too, for the state, and dropped
    const known = Math.max(0, Math.min(records.length, this.#skip + 1 - firstSeq))
    if (known > 0)
      this.state = this.dialect.render({ ...run, records: records.slice(0, known) }, this.seq, this.state).state
    const { events, state } = this.dialect.render(run, Math.max(this.seq, this.#skip), this.state)
    this.state = state
    this.seq = last
    return events
  }

  #complete(events: Bytes, end: Bytes | null): void {
    this.#left = true
    this.#outlet.complete(events, end)
  }
}
