/**
 * A dialect renders a log. It is a pure function of the log from its start: the same record at the same place
 * gives the same bytes, whoever reads and however often it was cut. What it must remember is its state.
 */
import type { Bytes } from '../../core/record.ts'

export interface DialectState {
  /** The stream has said its last: nothing more is rendered. */
  over: boolean
}

export interface Dialect {
  /** Readers of the same key share what was rendered. */
  readonly key: string
  /** The events of one record, as bytes of SSE; '' where this dialect skips it. Moves `state`. */
  render(record: Bytes, seq: number, epoch: number, state: DialectState): Bytes
}

/** One SSE block. A payload over several lines becomes several data lines (SSE joins them again). */
export const block = (id: string, event: string, data: Bytes): Bytes =>
  data.includes('\n') || data.includes('\r') ? `id: ${id}\n${event}${data.replace(/^/gm, 'data: ')}\n\n` : `id: ${id}\n${event}data: ${data}\n\n`
