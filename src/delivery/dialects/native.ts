/** Sluice's own events: every record, by its kind. */
import { chunkBytesOf } from '../../core/document.ts'
import { type Bytes, isEnd, kindOf, parseEnd, payloadOf, toBytes } from '../../core/record.ts'
import { wireTiming, wireUsage } from '../../core/wire.ts'
import { block, recordByRecord } from './dialect.ts'

export const nativeDialect = recordByRecord(
  'native',
  true,
  (record, seq, epoch) => {
    const id = `${epoch}-${seq}`
    const kind = kindOf(record)
    switch (kind) {
      case 'end':
        return block(id, 'event: end\n', endJson(record))
      case 'document':
        return block(id, 'event: chunk\n', chunkBytesOf(payloadOf(record)))
      default:
        return block(id, `event: ${kind}\n`, payloadOf(record))
    }
  },
  isEnd,
)

/** The end record as clients see it. */
export function endJson(record: Bytes): Bytes {
  const { state, error, usage, timing } = parseEnd(record)
  return toBytes(
    JSON.stringify({
      state,
      ...(error && { error }),
      ...(usage && { usage: wireUsage(usage) }),
      ...(timing && { timing: wireTiming(timing) }),
    }),
  )
}

/** What was shown is void, because the log was rewritten; everything follows from the start. */
export const gapEvent = (reason: string): Bytes => `event: gap\ndata: ${JSON.stringify({ reason })}\n\n`
