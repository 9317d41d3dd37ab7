/** A sound as SSE: its bytes in base64 as they are made, then its usage. An event has what its record made known. */
import { SluiceError } from '../../core/errors.ts'
import { gapOf, mediaOf } from '../../core/media.ts'
import { SSE, type StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, type End, formatCursor, kindOf, parseEnd } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'

interface Sent {
  readonly file: string | null
  /** Of it, so far. */
  readonly bytes: number
}
const NOTHING: Sent = Object.freeze({ file: null, bytes: 0 })

function endOf({ state, usage, error = new SluiceError('internal').wire }: End): Bytes {
  if (state !== 'done') return errorJson(error)
  const { promptTokens: input = 0, completionTokens: output = 0 } = usage ?? {}
  const counted = { input_tokens: input, output_tokens: output, total_tokens: input + output }
  return JSON.stringify({ type: 'speech.audio.done', usage: counted })
}

export const speechEvents: StreamForm<Sent> = {
  name: 'speech.events',
  wire: { ...SSE, refers: 'events' },
  takesBack: false,
  begin: () => NOTHING,
  render({ epoch, firstSeq, records }, state, known) {
    let events = ''
    let sent = state
    for (const [i, record] of records.entries()) {
      const kind = kindOf(record)
      const ref = mediaOf(record)
      const isOther = ref !== null && sent.file !== null && ref.file !== sent.file
      let data: Bytes | null = null
      // Bytes can't be withdrawn
      if (isOther || (kind === 'reset' && sent.file !== null))
        data = errorJson(new SluiceError('stream_restarted').wire)
      else if (ref !== null) {
        if (ref.bytes > sent.bytes)
          data = `{"type":"speech.audio.delta","audio":"${gapOf(ref.file, sent.bytes, ref.bytes)}"}`
        sent = { file: ref.file, bytes: ref.bytes }
      } else if (kind === 'end') data = endOf(parseEnd(record))
      if (data !== null && firstSeq + i > known) events += sseEvent(formatCursor(epoch, firstSeq + i), '', data)
      if (data !== null && ref?.file !== sent.file) return { events, state: sent, over: true }
    }
    return { events, state: sent, over: false }
  },
  // What an event brings is known by the one before it
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `data: ${errorJson(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
}
