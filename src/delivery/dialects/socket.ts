/**
 * The frames of `sluice.v1`: a run of records is one `ev`, the end record one `end`. The socket gets the bytes as they
 * are.
 */
import { chunkBytesOf } from '../../core/document.ts'
import type { JobId } from '../../core/job.ts'
import { type Bytes, isEnd, kindOf, payloadOf } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import { BEGIN, type Dialect, OVER } from './dialect.ts'
import { endJson } from './native.ts'

export const socketDialect: Dialect = {
  key: 'socket',
  beginsAnywhere: true,
  begin: BEGIN,
  render({ job, epoch, firstSeq, records }, after, state) {
    if (state.over) return { events: '', state }
    const from = Math.max(0, after + 1 - firstSeq)
    if (from >= records.length) return { events: '', state }
    const last = records[records.length - 1]
    const to = isEnd(last) ? records.length - 1 : records.length
    const frames =
      to > from
        ? textFrame(
            `{"t":"ev","job":"${job}","seq":${firstSeq + from},"cursor":"${epoch}-${firstSeq + to - 1}",` +
              `"e":[${eventsOf(records, from, to)}]}`,
          )
        : ''
    if (to === records.length) return { events: frames, state }
    const seq = firstSeq + to
    const end = `{"t":"end","job":"${job}","seq":${seq},"cursor":"${epoch}-${seq}",${endJson(last).slice(1)}`
    return { events: frames + textFrame(end), state: OVER }
  },
}

function eventsOf(records: readonly Bytes[], from: number, to: number): Bytes {
  let events = ''
  for (let i = from; i < to; i++) {
    const record = records[i]
    const comma = i === from ? '' : ','
    // A token first, without a call
    events += record.charCodeAt(0) === 64 ? `${comma}${controlOf(record)}` : `${comma}{"chunk":${record}}`
  }
  return events
}

function controlOf(record: Bytes): Bytes {
  const kind = kindOf(record)
  return kind === 'document' ? `{"chunk":${chunkBytesOf(payloadOf(record))}}` : `{"${kind}":${payloadOf(record)}}`
}

export const liveFrame = (job: JobId, epoch: number, seq: number): Bytes =>
  textFrame(`{"t":"live","job":"${job}","cursor":"${epoch}-${seq}"}`)
export const gapFrame = (job: JobId): Bytes => textFrame(`{"t":"gap","job":"${job}","reason":"epoch_changed"}`)
