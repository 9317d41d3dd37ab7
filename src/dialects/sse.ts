/** Events as SSE. */
import type { StreamForm } from '../core/ports/dialect.ts'
import { type Bytes, CONTROL, formatCursor } from '../core/record.ts'

/** One event. A payload over several lines becomes several data lines (SSE joins them again). */
export const sseEvent = (id: string, event: string, data: Bytes): Bytes =>
  data.includes('\n') || data.includes('\r')
    ? `id: ${id}\n${event}${data.replace(/^/gm, 'data: ')}\n\n`
    : `id: ${id}\n${event}data: ${data}\n\n`

/** For forms that render each record by itself, up to the first that `isLast`. The state never changes. */
export const recordByRecord =
  <S>(
    chunk: (id: string, record: Bytes) => Bytes,
    control: (id: string, record: Bytes, state: S) => Bytes,
    isLast: (control: Bytes) => boolean,
  ): StreamForm<S>['render'] =>
  ({ epoch, firstSeq, records }, state, known) => {
    let events = ''
    for (let i = 0; i < records.length; i++) {
      const record = records[i]
      const seq = firstSeq + i
      const isControl = record.charCodeAt(0) === CONTROL
      if (seq > known) {
        const id = formatCursor(epoch, seq)
        events += isControl ? control(id, record, state) : chunk(id, record)
      }
      if (isControl && isLast(record)) return { events, state, over: true }
    }
    return { events, state, over: false }
  }
