/**
 * One live job's readers. The log is followed once; each run of records is rendered once per dialect and written to all
 * readers of it. A reader that lags (new, or too slow) is not fed: it reads from the log at its own pace and joins
 * when it has caught up. So a slow reader costs a cursor, not a queue (S3).
 */
import type { JobId } from '../core/job.ts'
import { type Bytes, isEnd } from '../core/record.ts'
import type { Dialect, DialectState, Rendered, Run } from './dialects/dialect.ts'

export interface FeedReader {
  readonly dialect: Dialect
  /** Last seq that was rendered for it. */
  seq: number
  state: DialectState
  /** Fed by the feed; false while it catches up by itself. */
  live: boolean
  /** What a run of records became; `end` is the end record, when it was among them. May set `live` to false. */
  take(events: Bytes, end: Bytes | null): void
  /** A record could not be rendered for it: that ends this reader, and harms nobody else. */
  fail(thrown: unknown): void
}

export class Feed {
  readonly job: JobId
  readonly readers = new Set<FeedReader>()
  /** Last seq known to be readable. */
  head = 0
  epoch: number
  unfollow: () => void = () => {}

  constructor(job: JobId, epoch: number) {
    this.job = job
    this.epoch = epoch
  }

  /** A run of records from the log, rendered once for all live readers of a dialect: they are at the same place. */
  push(firstSeq: number, records: readonly Bytes[]): void {
    const last = firstSeq + records.length - 1
    if (last <= this.head) return
    this.head = last
    const end = isEnd(records[records.length - 1]) ? records[records.length - 1] : null
    const run: Run = { job: this.job, epoch: this.epoch, firstSeq, records }
    const byDialect = new Map<Dialect, Rendered>()
    for (const reader of this.readers) {
      if (!reader.live) continue
      if (reader.seq < firstSeq - 1) {
        // Can't be: a live reader has had all before this run. Should it be, it reads the log itself.
        reader.live = false
        reader.take('', end)
        continue
      }
      try {
        let rendered = byDialect.get(reader.dialect)
        if (rendered === undefined) {
          rendered = reader.dialect.render(run, reader.seq, reader.state)
          byDialect.set(reader.dialect, rendered)
        }
        reader.state = rendered.state
        reader.seq = last
        reader.take(rendered.events, end)
      } catch (thrown) {
        reader.fail(thrown)
      }
    }
  }
}
