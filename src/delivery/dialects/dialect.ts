/**
 * A dialect renders a log. It is a pure function of the log from its start: the same record at the same place
 * gives the same bytes, whoever reads and however often it was cut. What it must remember is its state.
 */
import type { JobId } from '../../core/job.ts'
import type { Bytes } from '../../core/record.ts'

export interface DialectState {
  /** The stream has said its last: nothing more is rendered. */
  over: boolean
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
  /** The run's records behind `after`, as bytes for the reader; '' where this dialect skips them. Moves `state`. */
  render(run: Run, after: number, state: DialectState): Bytes
}

/** A dialect in which each record stands for itself. */
export const recordByRecord = (
  key: string,
  beginsAnywhere: boolean,
  render: (record: Bytes, seq: number, epoch: number, state: DialectState) => Bytes,
): Dialect => ({
  key,
  beginsAnywhere,
  render({ epoch, firstSeq, records }, after, state) {
    let events = ''
    for (let i = Math.max(0, after + 1 - firstSeq); i < records.length; i++)
      events += render(records[i], firstSeq + i, epoch, state)
    return events
  },
})

/** One SSE block. A payload over several lines becomes several data lines (SSE joins them again). */
export const block = (id: string, event: string, data: Bytes): Bytes =>
  data.includes('\n') || data.includes('\r')
    ? `id: ${id}\n${event}${data.replace(/^/gm, 'data: ')}\n\n`
    : `id: ${id}\n${event}data: ${data}\n\n`
