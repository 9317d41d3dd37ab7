/** Sluice's own events: every record, by its kind. */
import { chunkBytesOf } from '../../core/document.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, isEnd, kindOf, payloadOf } from '../../core/record.ts'
import { endJson } from '../end.ts'
import { recordByRecord, sseEvent } from '../sse.ts'

function control(id: string, record: Bytes): Bytes {
  const kind = kindOf(record)
  switch (kind) {
    case 'end':
      return sseEvent(id, 'event: end\n', endJson(record))
    case 'document':
      return sseEvent(id, 'event: chunk\n', chunkBytesOf(payloadOf(record)))
    default:
      return sseEvent(id, `event: ${kind}\n`, payloadOf(record))
  }
}

export const nativeEvents: StreamForm<null> = {
  name: 'native',
  takesBack: true,
  begin: () => null,
  render: recordByRecord((id, record) => sseEvent(id, 'event: chunk\n', record), control, isEnd),
  beginsAnywhere: true,
  gap: () => `event: gap\ndata: ${JSON.stringify({ reason: 'epoch_changed' })}\n\n`,
  live: null,
  error: null,
  failure: null,
}
