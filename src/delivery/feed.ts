/**
 * One live job's readers. The log is followed once; each run of records is rendered once for all readers who see the
 * same, and written to each. A reader that lags (new, or too slow) is not fed: it reads from the log at its own pace
 * and joins when it has caught up. So a slow reader costs a cursor, not a queue (S3).
 */
import type { JobId } from '../core/job.ts'
import type { FirstText } from '../core/ports/delivery.ts'
import type { Rendered, Rendering, Run, StreamForm } from '../core/ports/dialect.ts'
import type { Following } from '../core/ports/log.ts'
import { type Bytes, isEnd } from '../core/record.ts'
import type { Turns } from './turns.ts'

/** Readers of a job that are shown the same events share what is rendered. */
export class View {
  readonly form: StreamForm
  readonly #shownAs: string
  /** The last run as rendered, the seq before it, and its last seq. */
  #rendered: Rendered<unknown> | null = null
  #after = 0
  #last = 0

  constructor(form: StreamForm, shownAs: string) {
    this.form = form
    this.#shownAs = shownAs
  }

  is(form: StreamForm, shownAs: string): boolean {
    return this.form === form && this.#shownAs === shownAs
  }

  /** `state`: that of any of its readers at `after`. */
  render(run: Run, after: number, last: number, state: unknown): Rendered<unknown> {
    if (this.#rendered === null || this.#after !== after || this.#last !== last) {
      this.#rendered = this.form.render(after < run.firstSeq ? run : restOf(run, after), state, 0)
      this.#after = after
      this.#last = last
    }
    return this.#rendered
  }

  forget(): void {
    this.#rendered = null
  }
}

const restOf = (run: Run, after: number): Run => ({
  ...run,
  firstSeq: after + 1,
  records: run.records.slice(after + 1 - run.firstSeq),
})

export interface FeedReader {
  readonly view: View
  /** Last seq rendered for this reader. */
  seq: number
  /** The renderer's state at `seq`. */
  state: unknown
  /** Fed by the feed; false while it catches up by itself. */
  live: boolean
  /**
   * A run of records, rendered. `over`: these are the last events. `end`: the end record, if the run has it. May set
   * `live` to false.
   */
  take(events: Bytes, over: boolean, end: Bytes | null): void
  /** A record could not be rendered: this ends the reader, and affects no other. */
  fail(thrown: unknown): void
  /** The log was rewritten: read it from the start. */
  restart(): void
}

export class Feed {
  readonly job: JobId
  /** Shared by all feeds. Null: readers never wait for each other. */
  readonly turns: Turns | null
  /** Replaced, never changed: readers leave while they are fed. */
  #readers: readonly FeedReader[] = []
  #views: readonly View[] = []
  /** Last seq known to be readable. */
  head = 0
  /** In which its last record was written, or will be. */
  epoch: number
  following: Following | null = null
  /** Of its answer, where that came while it was read here. */
  first: FirstText | null = null
  isFirstTold = false
  /** It is another log than the one that was followed: what there was then says nothing. */
  isRewritten = false

  constructor(job: JobId, epoch: number, turns: Turns | null = null) {
    this.job = job
    this.turns = turns
    this.epoch = epoch
  }

  get isEmpty(): boolean {
    return this.#readers.length === 0
  }

  /** Has a reader just got all there is? */
  get isRead(): boolean {
    return this.#readers.some(({ live, seq }) => live && seq === this.head)
  }

  view(job: Rendering, form: StreamForm): View {
    const shownAs = job.shownAs === undefined ? '' : `${job.dialect} ${JSON.stringify(job.shownAs)}`
    return this.#views.find((view) => view.is(form, shownAs)) ?? new View(form, shownAs)
  }

  add(reader: FeedReader): void {
    this.#readers = [...this.#readers, reader]
    if (!this.#views.includes(reader.view)) this.#views = [...this.#views, reader.view]
  }

  delete(reader: FeedReader): void {
    this.#readers = this.#readers.filter((other) => other !== reader)
    if (!this.#readers.some(({ view }) => view === reader.view))
      this.#views = this.#views.filter((view) => view !== reader.view)
  }

  /** A run of records from the log. */
  push(firstSeq: number, records: readonly Bytes[], epoch: number): void {
    const last = firstSeq + records.length - 1
    if (last > this.head) this.head = last
    this.epoch = epoch
    const end = isEnd(records[records.length - 1]) ? records[records.length - 1] : null
    const run: Run = { job: this.job, epoch, firstSeq, records }
    for (const reader of this.#readers) {
      if (!reader.live || reader.seq >= last) continue
      try {
        if (reader.seq < firstSeq - 1) {
          // It missed a run: it reads that from the log
          reader.live = false
          reader.take('', false, null)
          continue
        }
        const { events, state, over } = reader.view.render(run, reader.seq, last, reader.state)
        reader.state = state
        reader.seq = last
        reader.take(events, over, end)
      } catch (thrown) {
        reader.fail(thrown)
      }
    }
    for (const view of this.#views) view.forget()
  }

  /** The log was rewritten: all readers start over. */
  restart(epoch: number): void {
    this.epoch = epoch
    this.head = 0
    this.isRewritten = true
    for (const reader of this.#readers) reader.restart()
  }
}
