/**
 * A reader's subscription to a log, whatever transport it reads through: checks the cursor, catches up at the reader's
 * own pace, then is fed live. It holds a sequence number and the renderer's state, and no records.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { Rendered, StreamForm } from '../core/ports/dialect.ts'
import type { LogHead, LogPage, TokenLog } from '../core/ports/log.ts'
import { type Bytes, type Cursor, formatCursor, isOfEpoch } from '../core/record.ts'
import { back } from './absent.ts'
import type { Feed, FeedReader, View } from './feed.ts'

/** Where a reader's events go. */
export interface Outlet {
  /** Accepts nothing more at the moment. */
  readonly full: boolean
  /**
   * Bytes that may be read for it now, at most `most`; given back by `release`. 0 parks the reader until `resume`.
   */
  claim(most: number): number
  release(claimed: number): void
  write(events: Bytes): void
  /** The last events. `end`: the end record, if the log has reached it. */
  complete(events: Bytes, end: Bytes | null): void
  /** Everything stored has been written; what follows is live. */
  caughtUp(): void
  fail(thrown: unknown): void
}

export class Subscription implements FeedReader {
  readonly view: View
  readonly #job: Job
  readonly #feed: Feed
  readonly #log: TokenLog
  readonly #clock: Pick<Clock, 'soon'>
  readonly #pageBytes: number
  readonly #outlet: Outlet
  seq = 0
  state: unknown
  live = false
  /** Records before the first one that it shows; null: not known, as events of a record may be shown already. */
  began: number | null = null
  /** The client has the events up to this number. */
  #known = 0
  /** Last seq there was when the feed began; what came later it was pushed. Null: not known, or the log tells. */
  #before: number | null = null
  /** What comes before the first record was rendered. */
  #opened = false
  /** Counts rewrites of the log: pages read before the last one are void. */
  #readings = 0
  /** True until the start position is known: nothing is read before. */
  #seeking = true
  #catchingUp = false
  #left = false

  /** `pageBytes`: bytes of records read from the log at once. */
  constructor(
    job: Job,
    form: StreamForm,
    feed: Feed,
    log: TokenLog,
    clock: Pick<Clock, 'soon'>,
    pageBytes: number,
    outlet: Outlet,
  ) {
    this.view = feed.view(job, form)
    this.state = form.begin(job)
    this.#job = job
    this.#feed = feed
    this.#log = log
    this.#clock = clock
    this.#pageBytes = pageBytes
    this.#outlet = outlet
  }

  /** After the last event that was rendered. */
  get cursor(): string {
    return formatCursor(this.#feed.epoch, this.view.form.count?.(this.state) ?? this.seq)
  }

  /**
   * Moves to just after `cursor`; null = the start. `gap`: the log is not the one that the cursor is of, so it is now
   * at the start. `ended`: nothing follows the cursor. Throws job_gone, job_lost, cursor_ahead.
   */
  async seek(cursor: Cursor | null): Promise<'ok' | 'gap' | 'ended'> {
    const before = (await this.#feed.following?.ready) ?? null
    if (!this.#feed.isRewritten) this.#before = before
    for (;;) {
      const reading = this.#readings
      try {
        const found = cursor === null ? 'ok' : await this.#seek(cursor)
        if (reading === this.#readings) {
          this.#seeking = false
          this.began = this.#beginning()
          return found
        }
      } catch (thrown) {
        if (reading === this.#readings) throw thrown
      }
      this.#toStart()
    }
  }

  async #seek(cursor: Cursor): Promise<'ok' | 'gap' | 'ended'> {
    const log = await this.#head()
    const isCurrent = isOfEpoch(cursor, log.epoch)
    const common = isCurrent ? log.head : await this.#log.commonWith(this.#feed.job, cursor.epoch ?? 0)
    const found = await this.#find(cursor.n, common)
    if (found === 'ahead' && isCurrent) throw new SluiceError('cursor_ahead')
    if (found === 'ahead') {
      this.#toStart()
      return 'gap'
    }
    return found === 'over' || (log.ended && found === log.head) ? 'ended' : 'ok'
  }

  async #head(): Promise<LogHead> {
    for (;;) {
      const head = await this.#log.head(this.#feed.job)
      if (head !== null) return head
      await this.#back()
    }
  }

  /** The log is not there: resolves where it is again. Throws job_gone, job_lost. */
  #back(): Promise<void> {
    const { id, state } = this.#job
    return back(this.#log, { id, state, epoch: this.#feed.epoch })
  }

  /**
   * Moves to just after event `n`, which must be one of those of the records up to `common`, else `ahead`. Returns the
   * seq of its record if the event is the record's last one, `over` if it is the last of all.
   */
  async #find(n: number, common: number): Promise<number | 'within' | 'ahead' | 'over'> {
    const { form } = this.view
    if (form.count === undefined) {
      if (n > common) return 'ahead'
      if (form.beginsAnywhere) this.seq = n
      else this.#known = n
      return n
    }
    if (form.opens === true) {
      const { state } = this.#opening(Number.POSITIVE_INFINITY)
      // Some of them are rendered again, by `open`
      if (form.count(state) > n) {
        this.#known = n
        return 'within'
      }
      this.state = state
      this.#opened = true
    }
    while (form.count(this.state) < n && this.seq < common) {
      const page = await this.#log.read(this.#feed.job, this.seq, this.#pageBytes)
      if (page === null) {
        await this.#back()
        continue
      }
      const records = page.records.slice(0, common - this.seq)
      if (records.length === 0) break
      const run = { job: this.#feed.job, epoch: page.epoch, firstSeq: page.firstSeq, records }
      const { state, over } = form.render(run, this.state, Number.POSITIVE_INFINITY)
      if (form.count(state) > n) {
        // One of this page's events, which are rendered again when there is room for them
        this.#known = n
        return 'within'
      }
      this.state = state
      this.seq += records.length
      if (over) return form.count(state) === n ? 'over' : 'ahead'
      await this.#nextTurn()
    }
    this.#known = n
    return form.count(this.state) < n ? 'ahead' : this.seq
  }

  /** Writes the events before the first record that the reader lacks. Throws job_gone, job_lost. */
  async #open(): Promise<void> {
    if (this.view.form.opens !== true || this.#opened || this.seq > 0) return
    const { events, state } = this.#opening(this.#known)
    if (events !== '') await this.#head()
    if (this.#left || this.#opened || this.seq > 0) return
    this.state = state
    this.#opened = true
    if (events !== '') this.#outlet.write(events)
  }

  #opening(known: number): Rendered<unknown> {
    const run = { job: this.#feed.job, epoch: this.#feed.epoch, firstSeq: 1, records: [] }
    return this.view.form.render(run, this.view.form.begin(this.#job), known)
  }

  /** Some event before the first record. */
  #hasTold(): boolean {
    return this.#opened && (this.view.form.count?.(this.state) ?? 0) > 0
  }

  #beginning(): number | null {
    if (this.view.form.count === undefined) return Math.max(this.seq, this.#known)
    return this.#known === 0 || this.view.form.count(this.state) === this.#known ? this.seq : null
  }

  #toStart(): void {
    this.seq = 0
    this.state = this.view.form.begin(this.#job)
    this.#known = 0
    this.#opened = false
  }

  restart(): void {
    if (this.#left) return
    this.#readings++
    this.#before = null
    if (this.#seeking) return
    this.live = false
    const { gap } = this.view.form
    const hasShown = this.seq > 0 || this.#known > 0 || this.#hasTold()
    this.#toStart()
    if (hasShown && gap === null) return void this.#failStale()
    if (hasShown && gap !== null) this.#outlet.write(gap(this.#feed.job))
    this.resume()
  }

  /** What was shown can't be taken back. Is there a log to be read from the start? */
  async #failStale(): Promise<void> {
    this.#seeking = true
    try {
      await this.#head()
      throw new SluiceError('cursor_stale')
    } catch (error) {
      this.fail(error)
    }
  }

  /** Continues reading if it is parked and there is room. */
  resume(): void {
    if (this.#seeking || this.live || this.#catchingUp || this.#left) return
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

  take(events: Bytes, over: boolean, end: Bytes | null): void {
    if (this.#left) return
    if (!this.live) this.resume()
    else if (over || end !== null) this.#complete(events, end)
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
      await this.#open()
      while (!this.#left && !this.live && !this.#seeking) {
        const turn = this.#feed.turns?.wait() ?? null
        if (turn !== null) {
          await turn
          if (this.#left) return
        }
        // No await before this return: room that came in between would find the reader busy, and be lost
        const claimed = this.#outlet.claim(this.#pageBytes)
        if (claimed <= 0) return
        if (this.#hasAll()) {
          this.#outlet.release(claimed)
          this.#goLive()
          return
        }
        const reading = this.#readings
        this.#before = null
        const page = await this.#read(claimed)
        if (this.#left) return
        if (reading !== this.#readings) continue
        if (page === null) {
          await this.#back()
          continue
        }
        this.#feed.turns?.spend(sizeOf(page))
        const { events, over } = this.#render(page)
        if (over || (page.ended && this.seq === page.head))
          return this.#complete(events, page.ended ? (page.records.at(-1) ?? null) : null)
        if (events !== '') this.#outlet.write(events)
        else if (this.seq < page.head) await this.#nextTurn()
        if (this.seq >= page.head && this.seq >= this.#feed.head) this.#goLive()
      }
    } finally {
      this.#catchingUp = false
    }
  }

  /** Of what is known without reading the log: of a new job, before its first record. */
  #hasAll(): boolean {
    return this.#before !== null && this.seq >= this.#before && this.seq >= this.#feed.head
  }

  #goLive(): void {
    this.#feed.head = this.seq
    this.live = true
    this.#outlet.caughtUp()
  }

  /** Pages that are only skipped fill no outlet, so nothing else would let the event loop turn. */
  #nextTurn(): Promise<void> {
    return new Promise((next) => this.#clock.soon(next))
  }

  async #read(claimed: number): Promise<LogPage | null> {
    try {
      return await this.#log.read(this.#feed.job, this.seq, claimed)
    } finally {
      this.#outlet.release(claimed)
    }
  }

  #render({ epoch, firstSeq, records }: LogPage): { readonly events: Bytes; readonly over: boolean } {
    if (records.length === 0) return NOTHING
    const run = { job: this.#feed.job, epoch, firstSeq, records }
    const { events, state, over } = this.view.form.render(run, this.state, this.#known)
    this.state = state
    this.seq = firstSeq + records.length - 1
    return { events, over }
  }

  #complete(events: Bytes, end: Bytes | null): void {
    this.#left = true
    this.#outlet.complete(events, end)
  }
}

const sizeOf = ({ records }: LogPage): number => records.reduce((sum, record) => sum + record.length, 0)

const NOTHING = { events: '', over: false } as const
