/**
 * The frames of `sluice.v1`: a run of records is one `ev`, the end record one `end`. They are written to the socket as
 * they are.
 */
import { chunkBytesOf } from '../../core/document.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, CONTROL, formatCursor, isEnd, kindOf, payloadOf } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import { endJson } from '../end.ts'

export const socketFrames: StreamForm<null> = {
  name: 'socket',
  takesBack: true,
  begin: () => null,
  render({ job, epoch, firstSeq, records }, state, known) {
    const last = records[records.length - 1]
    const over = isEnd(last)
    const from = Math.max(0, known + 1 - firstSeq)
    if (from >= records.length) return { events: '', state, over }
    const to = over ? records.length - 1 : records.length
    let events = ''
    if (to > from) {
      const cursor = formatCursor(epoch, firstSeq + to - 1)
      events = textFrame(
        `{"t":"ev","job":"${job}","seq":${firstSeq + from},"cursor":"${cursor}","e":[${eventsOf(records, from, to)}]}`,
      )
    }
    if (over) {
      const seq = firstSeq + to
      const cursor = formatCursor(epoch, seq)
      events += textFrame(`{"t":"end","job":"${job}","seq":${seq},"cursor":"${cursor}",${endJson(last).slice(1)}`)
    }
    return { events, state, over }
  },
  beginsAnywhere: true,
  gap: (job) => textFrame(`{"t":"gap","job":"${job}","reason":"epoch_changed"}`),
  live: (job, cursor) => textFrame(`{"t":"live","job":"${job}","cursor":"${cursor}"}`),
  error: null,
  failure: null,
}

function eventsOf(records: readonly Bytes[], from: number, to: number): Bytes {
  let events = ''
  for (let i = from; i < to; i++) {
    const record = records[i]
    const comma = i === from ? '' : ','
    // A token first, without a call
    events += record.charCodeAt(0) === CONTROL ? `${comma}${controlOf(record)}` : `${comma}{"chunk":${record}}`
  }
  return events
}

function controlOf(record: Bytes): Bytes {
  const kind = kindOf(record)
  return kind === 'document' ? `{"chunk":${chunkBytesOf(payloadOf(record))}}` : `{"${kind}":${payloadOf(record)}}`
}
