/**
 * One live job's readers. The log is followed once; each run of records is rendered once per dialect and written to all
 * readers of it. A reader that is behind (new, or too slow) is not fed: it reads from the log at its own pace and joins
 * when it has caught up. So a slow reader costs a cursor, not a queue (S3).
 */
import type { Bytes } from '../core/record.ts'
import type { Dialect, DialectState } from './dialects/dialect.ts'

export interface FeedReader {
  readonly dialect: Dialect
  /** Last seq that was rendered for it. */
  seq: number
  state: DialectState
  /** Fed by the feed; false while it catches up by itself. */
  live: boolean
  /** What a run of records became; `ended` with the end record. May set `live` to false. */
  take(events: Bytes, ended: boolean): void
}

export class Feed {
  readonly readers = new Set<FeedReader>()
  /** Last seq known to be readable. */
  head = 0
  epoch: number
  unfollow: () => void = () => {}

  constructor(epoch: number) {
    this.epoch = epoch
  }

  /** A run of records from the log, rendered once for all live readers of a dialect: they are at the same place. */
  push(firstSeq: number, records: readonly Bytes[], ended: boolean): void {
    const last = firstSeq + records.length - 1
    if (last <= this.head) return
    this.head = last
    const runs: Array<{ readonly dialect: Dialect; readonly events: Bytes; readonly state: DialectState }> = []
    for (const reader of this.readers) {
      if (!reader.live) continue
      if (reader.seq < firstSeq - 1) {
        // Can't be: a live reader has had all before this run. Should it be, it reads the log itself.
        reader.live = false
        reader.take('', ended)
        continue
      }
      let run = runs.find((r) => r.dialect === reader.dialect)
      if (run === undefined) {
        run = { dialect: reader.dialect, events: renderRun(reader.dialect, records, firstSeq, reader.seq, this.epoch, reader.state), state: reader.state }
        runs.push(run)
      } else reader.state = { ...run.state }
      reader.seq = last
      reader.take(run.events, ended)
    }
  }
}

/** Renders the records behind `after`. */
export function renderRun(dialect: Dialect, records: readonly Bytes[], firstSeq: number, after: number, epoch: number, state: DialectState): Bytes {
  let events = ''
  for (let i = Math.max(0, after + 1 - firstSeq); i < records.length; i++) events += dialect.render(records[i], firstSeq + i, epoch, state)
  return events
}
