/**
 * A dialect renders a log. It is a pure function of the log from its start: the same record at the same place
 * gives the same bytes, whoever reads and however often it was cut. What it must remember is its state.
 */
import type { JobId } from '../../core/job.ts'
import type { Bytes } from '../../core/record.ts'

/** A value: never changed, so that readers may share it. A dialect that must remember more adds to it. */
export interface DialectState {
  /** The stream has had its last event: nothing more is rendered. */
  readonly over: boolean
}

/** At the start of a log. */
export const BEGIN: DialectState = Object.freeze({ over: false })
export const OVER: DialectState = Object.freeze({ over: true })

/** What a run became, and the state after it. */
export interface Rendered {
  readonly events: Bytes
  readonly state: DialectState
}

/** Consecutive records of a log. */
export interface Run {
  readonly job: JobId
  readonly epoch: number
  /** seq of records[0]. */
  readonly firstSeq: number
  readonly records: readonly Bytes[]
}

export interface Dialect {
  /** Readers of the same dialect share what was rendered. */
  readonly key: string
  /** Can it begin anywhere in a log, without having rendered what stands before? */
  readonly beginsAnywhere: boolean
  /** The state of a reader that has seen nothing. */
  readonly begin: DialectState
  /** The run's records after `after`, as bytes for the reader; '' where this dialect skips them. */
  render(run: Run, after: number, state: DialectState): Rendered
}

/** A dialect in which each record stands for itself, up to the first one that `isLast`. */
export const recordByRecord = (
  key: string,
  beginsAnywhere: boolean,
  render: (record: Bytes, seq: number, epoch: number) => Bytes,
  isLast: (control: Bytes) => boolean,
): Dialect => ({
  key,
  beginsAnywhere,
  begin: BEGIN,
  render({ epoch, firstSeq, records }, after, state) {
    if (state.over) return NOTHING
    let events = ''
    for (let i = Math.max(0, after + 1 - firstSeq); i < records.length; i++) {
      const record = records[i]
      events += render(record, firstSeq + i, epoch)
      if (record.charCodeAt(0) === CONTROL && isLast(record)) return { events, state: OVER }
    }
    return { events, state }
  },
})

/** The first byte of all records but chunks. */
const CONTROL = 64
const NOTHING: Rendered = { events: '', state: OVER }

/** One SSE block. A payload over several lines becomes several data lines (SSE joins them again). */
export const block = (id: string, event: string, data: Bytes): Bytes =>
  data.includes('\n') || data.includes('\r')
    ? `id: ${id}\n${event}${data.replace(/^/gm, 'data: ')}\n\n`
    : `id: ${id}\n${event}data: ${data}\n\n`
