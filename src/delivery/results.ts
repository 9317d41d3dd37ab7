/**
 * Whole answers. One whose log fits a page is made for each caller. A longer one takes a while: it is made a page a
 * turn of the event loop, once for all callers that ask at about the same time.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { TtftParts } from '../core/measure.ts'
import type { FoundJob } from '../core/ports/delivery.ts'
import type { Dialect, Rendering, Reply, WholeAnswer } from '../core/ports/dialect.ts'
import type { LogPage, TokenLog } from '../core/ports/log.ts'
import { type Bytes, isEnd, parseEnd } from '../core/record.ts'
import { Table } from '../core/table.ts'
import { back } from './absent.ts'

/** How long a long answer is kept for other callers, and how many bytes of them. */
const KEPT_MS = 10_000
const KEPT_BYTES = 8 << 20

type Asked = Rendering & FoundJob

interface Made {
  readonly epoch: number
  readonly head: number
  readonly reply: Promise<Reply>
  /** Of its body, once it is made. */
  bytes: number
}

/** A log as it is told to who follows it. Where that was all of it, and not much, it need not be read again. */
export class Seen {
  readonly records: Bytes[] = []
  /** Where the time to its first text went, if this process was told. */
  parts: TtftParts | null = null
  readonly #maxBytes: number
  #bytes = 0
  #isWhole = true

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** From its first record to its end. */
  get whole(): boolean {
    return this.#isWhole && this.records.length > 0 && isEnd(this.records[this.records.length - 1])
  }

  take(firstSeq: number, records: readonly Bytes[]): void {
    if (!this.#isWhole) return
    for (const record of records) this.#bytes += record.length
    this.#isWhole = firstSeq === this.records.length + 1 && this.#bytes <= this.#maxBytes
    // One by one: a stalled commit brings more of them than a call takes arguments
    if (this.#isWhole) for (const record of records) this.records.push(record)
    else this.forget()
  }

  /** It is not the log any more that was told. */
  forget(): void {
    this.#isWhole = false
    this.records.length = 0
  }
}

export class Results {
  readonly #log: TokenLog
  readonly #clock: Clock
  readonly #pageBytes: number
  /** By job and dialect, the oldest first. */
  readonly #made = new Table<string, Made>()
  #bytes = 0

  constructor(log: TokenLog, clock: Clock, pageBytes: number) {
    this.#log = log
    this.#clock = clock
    this.#pageBytes = pageBytes
  }

  /** Of a job that has ended; `seen` in this very turn. Throws job_gone, job_lost. */
  of(job: Asked, dialect: Pick<Dialect, 'name' | 'whole'>, seen?: Seen): Reply | Promise<Reply> {
    if (seen?.whole !== true) return this.#ofLog(job, dialect)
    const answer = dialect.whole(job)
    answer.take(seen.records)
    const { parts } = seen
    const reply = answer.reply()
    return parts === null || reply.status >= 400 ? withEnd(reply, seen.records) : withParts(reply, parts)
  }

  async #ofLog(job: Asked, dialect: Pick<Dialect, 'name' | 'whole'>): Promise<Reply> {
    // Read each time, so that an erased log is not answered from memory
    const first = await this.#read(job, 0)
    const answer = dialect.whole(job)
    if (first.records.length < first.head) return this.#long(job, dialect.name, first, answer)
    answer.take(first.records)
    return withEnd(answer.reply(), first.records)
  }

  #long(job: Asked, dialect: string, first: LogPage, answer: WholeAnswer): Promise<Reply> {
    const key = `${job.id} ${dialect} ${JSON.stringify(job.shownAs)}`
    const known = this.#made.get(key)
    if (known !== undefined && known.epoch === first.epoch && known.head === first.head) return known.reply
    const made: Made = { epoch: first.epoch, head: first.head, reply: this.#make(job, first, answer), bytes: 0 }
    this.#forget(key, known)
    this.#made.set(key, made)
    made.reply.then(
      ({ body }) => {
        if (this.#made.get(key) !== made) return
        made.bytes = body.length
        this.#bytes += body.length
        this.#clock.after(KEPT_MS, () => this.#forget(key, made))
        for (const [oldest, other] of this.#made.entries()) {
          if (this.#bytes <= KEPT_BYTES) break
          if (other.bytes > 0) this.#forget(oldest, other)
        }
      },
      () => this.#forget(key, made),
    )
    return made.reply
  }

  #forget(key: string, made: Made | undefined): void {
    if (made === undefined || this.#made.get(key) !== made) return
    this.#made.delete(key)
    this.#bytes -= made.bytes
  }

  async #make(job: Asked, first: LogPage, answer: WholeAnswer): Promise<Reply> {
    for (let page = first, seq = 0; ; ) {
      // Reading the page was enough work for one turn if its records are large
      await new Promise<void>((next) => this.#clock.soon(next))
      answer.take(page.records)
      seq += page.records.length
      if (seq >= first.head) return withEnd(answer.reply(), page.records)
      page = await this.#read(job, seq)
      if (page.records.length === 0) throw new SluiceError('job_gone')
    }
  }

  async #read(job: Asked, afterSeq: number): Promise<LogPage> {
    for (;;) {
      const page = await this.#log.read(job.id, afterSeq, this.#pageBytes)
      if (page !== null) return page
      await back(this.#log, job)
    }
  }
}

/** Where its time went, and what became of it, as its end tells. */
function withEnd(reply: Reply, records: readonly Bytes[]): Reply {
  const { timing, error } = parseEnd(records[records.length - 1])
  return { ...reply, ...(timing !== undefined && { timing }), ...(error !== undefined && { error }) }
}

/** Of nearly every call: member by member, as a spread would allocate four times as much. */
const withParts = ({ status, headers, body, type }: Reply, parts: TtftParts): Reply =>
  type === undefined ? { status, headers, body, parts } : { status, headers, body, type, parts }
