/** OpenAI's older completions as SSE: texts, `[DONE]` after a good end, an error event after any other. */
import { chunkOf as chunkOfDocument, parseDocument } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/fold.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, isEnd, kindOf, parseEnd, payloadOf, toBytes, toText } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { recordByRecord, sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'
import { chunkOf } from './shape.ts'

/** Does the client want the usage? */
type Extras = boolean

function told(id: string, chunk: unknown): Bytes {
  const shown = isObject(chunk) ? chunkOf(chunk) : null
  return shown === null ? '' : sseEvent(id, '', toBytes(JSON.stringify(shown)))
}

function usageOf(chunk: JsonObject): Bytes {
  return toBytes(JSON.stringify({ ...chunk, object: 'text_completion', choices: [] }))
}

function control(id: string, record: Bytes, usage: Extras): Bytes {
  switch (kindOf(record)) {
    case 'document': {
      const { usage: counts, ...chunk } = chunkOfDocument(parseDocument(payloadOf(record)))
      return told(id, usage && counts !== undefined ? { ...chunk, usage: counts } : chunk)
    }
    case 'usage': {
      const chunk: unknown = usage ? JSON.parse(toText(payloadOf(record))) : null
      return isObject(chunk) ? sseEvent(id, '', usageOf(chunk)) : ''
    }
    case 'reset':
      return sseEvent(id, '', errorJson(new SluiceError('stream_restarted').wire))
    case 'end': {
      const end = parseEnd(record)
      const error = end.error ?? new SluiceError('internal').wire
      return sseEvent(id, '', end.state === 'done' ? '[DONE]' : errorJson(error))
    }
    default:
      return ''
  }
}

export const stream: StreamForm<Extras> = {
  name: 'completions',
  takesBack: false,
  begin: ({ dialect, shownAs }) => dialect === 'completions' && shownAs?.['include_usage'] === true,
  render: recordByRecord(
    (id, record) => told(id, JSON.parse(toText(record))),
    control,
    (record) => kindOf(record) === 'reset' || isEnd(record),
  ),
  // A reset ends the stream, wherever it is in the log
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `data: ${errorJson(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
}
