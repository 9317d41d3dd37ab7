/** Images as SSE: as their upstream tells them, or, of one that answers at once, an event each. */
import { parseDocument } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import type { JsonRecord } from '../../core/json.ts'
import { gapOf, mapImages, mediaEventOf, refOf } from '../../core/media.ts'
import { SSE, type StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, formatCursor, kindOf, parseEnd, payloadOf, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'

interface Told {
  /** It is an edit. */
  readonly edits: boolean
  /** An image was shown, which can't be withdrawn. */
  readonly shown: boolean
}

export const isCompleted = ({ type }: JsonRecord): boolean => typeof type === 'string' && type.endsWith('.completed')

/** What its completed events would have been in one piece. */
export function documentOf(completed: readonly JsonRecord[]): JsonRecord {
  const { type: _, b64_json: _image, created_at: created, partial_image_index: _index, ...rest } = completed.at(-1)!
  return { created, ...rest, data: completed.map(({ b64_json: image }) => ({ b64_json: image })) }
}

/** Its data; with its bytes, where it refers to some. */
function dataOf({ b64_json: image, ...event }: JsonRecord): Bytes {
  const ref = refOf(image)
  const text = toBytes(JSON.stringify(event))
  return ref === null ? text : `{"b64_json":"${gapOf(ref.file, 0, ref.bytes)}",${text.slice(1)}`
}

function ofDocument(document: JsonRecord, edits: boolean): readonly JsonRecord[] {
  const { data: _, created, ...rest } = document
  const events: JsonRecord[] = []
  mapImages(document, (image) => {
    const type = `image_${edits ? 'edit' : 'generation'}.completed`
    events.push({ type, created_at: created, ...rest, b64_json: image })
    return {}
  })
  return events
}

function eventsOf(id: string, record: Bytes, { edits }: Told): Bytes {
  const kind = kindOf(record)
  if (kind === 'reset') return sseEvent(id, '', errorJson(new SluiceError('stream_restarted').wire))
  if (kind === 'end') {
    const { state, error = new SluiceError('internal').wire } = parseEnd(record)
    return sseEvent(id, '', state === 'done' ? '[DONE]' : errorJson(error))
  }
  const event = mediaEventOf(record)
  const events =
    event !== null ? [event] : kind === 'document' ? ofDocument(parseDocument(payloadOf(record)), edits) : []
  // All but the last without an id: whoever is cut among them gets them again
  return events
    .map((each, i) => (i < events.length - 1 ? `data: ${dataOf(each)}\n\n` : sseEvent(id, '', dataOf(each))))
    .join('')
}

export const imageEvents: StreamForm<Told> = {
  name: 'images',
  wire: { ...SSE, refers: 'events' },
  takesBack: false,
  begin: ({ shownAs }) => ({ edits: shownAs?.['task'] === 'edit', shown: false }),
  render({ epoch, firstSeq, records }, state, known) {
    let events = ''
    let told = state
    for (const [i, record] of records.entries()) {
      const kind = kindOf(record)
      if (kind === 'reset' && !told.shown) continue
      const event = eventsOf(formatCursor(epoch, firstSeq + i), record, told)
      if (firstSeq + i > known) events += event
      if (event !== '') told = { ...told, shown: true }
      if (kind === 'reset' || kind === 'end') return { events, state: told, over: true }
    }
    return { events, state: told, over: false }
  },
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `data: ${errorJson(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
}
