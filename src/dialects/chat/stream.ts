/** OpenAI's chat SSE: the chunks as they are, `[DONE]` after a good end, an error event after any other. */
import { chunkBytesOf } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, isEnd, kindOf, parseEnd, payloadOf } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { recordByRecord, sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'

/** What the client asked to see beside the answer. */
interface Extras {
  readonly usage: boolean
}
const NONE: Extras = Object.freeze({ usage: false })
const USAGE: Extras = Object.freeze({ usage: true })

function withoutUsage({ usage: _usage, ...chunk }: JsonObject): JsonObject {
  return chunk
}

const chunk = (id: string, record: Bytes): Bytes =>
  record.includes('\n') ? sseEvent(id, '', record) : `id: ${id}\ndata: ${record}\n\n`

function control(id: string, record: Bytes, { usage }: Extras): Bytes {
  switch (kindOf(record)) {
    case 'document':
      return sseEvent(id, '', chunkBytesOf(payloadOf(record), usage ? undefined : withoutUsage))
    case 'usage':
      return usage ? sseEvent(id, '', payloadOf(record)) : ''
    case 'reset':
      return sseEvent(id, '', errorJson(new SluiceError('stream_restarted').wire))
    case 'end': {
      const end = parseEnd(record)
      return sseEvent(
        id,
        '',
        end.state === 'done' ? '[DONE]' : errorJson(end.error ?? new SluiceError('internal').wire),
      )
    }
    default:
      return ''
  }
}

export const stream: StreamForm<Extras> = {
  name: 'chat',
  takesBack: false,
  begin: ({ dialect, shownAs }) => (dialect === 'chat' && shownAs?.['include_usage'] === true ? USAGE : NONE),
  render: recordByRecord(chunk, control, (record) => kindOf(record) === 'reset' || isEnd(record)),
  // A reset ends the stream, wherever it is in the log
  beginsAnywhere: false,
  gap: null,
  live: null,
  // Without an id, as it is no record
  error: (error) => `data: ${errorJson(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
}
