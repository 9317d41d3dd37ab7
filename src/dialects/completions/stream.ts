/** OpenAI's older completions as SSE: texts, `[DONE]` after a good end, an error event after any other. */
import { chunkOf as chunkOfDocument, parseDocument } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/fold.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import {
  type Bytes,
  formatCursor,
  kindOf,
  parseEnd,
  payloadOf,
  type RecordKind,
  toBytes,
  toText,
} from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'
import { chunkOf, usageOf } from './shape.ts'

interface Progress {
  /** Something was shown: it can't be withdrawn. */
  readonly told: boolean
  // What the usage is told with, once it is known what is charged
  /** Does the client want it? */
  readonly usage: boolean
  /** The last record that was a chunk, whatever it held: it names the answer. Null: none yet. */
  readonly last: Bytes | null
  /** The last that reported a usage. */
  readonly reported: Bytes | null
}
const NONE: Progress = Object.freeze({ told: false, usage: false, last: null, reported: null })
const USAGE: Progress = Object.freeze({ ...NONE, usage: true })

function noted(progress: Progress, record: Bytes, kind: RecordKind): Progress {
  if (kind === 'chunk') return { ...progress, last: record }
  return kind === 'usage' || kind === 'document' ? { ...progress, last: record, reported: record } : progress
}

function chunkIn(record: Bytes): JsonObject {
  const payload = payloadOf(record)
  const value: unknown =
    kindOf(record) === 'document' ? chunkOfDocument(parseDocument(payload)) : JSON.parse(toText(payload))
  return isObject(value) ? value : {}
}

function told(id: string, { usage: _, ...chunk }: JsonObject): Bytes {
  const shown = chunkOf(chunk)
  return shown === null ? '' : sseEvent(id, '', toBytes(JSON.stringify(shown)))
}

/** A part of the end, and so without an id of its own: whoever was cut before that gets both. */
function usageEvent({ last, reported }: Progress, record: Bytes): Bytes {
  const usage = usageOf(reported === null ? null : chunkIn(reported)['usage'], parseEnd(record).usage)
  if (usage === null) return ''
  const { usage: _, ...head } = last === null ? {} : chunkIn(last)
  return `data: ${toBytes(JSON.stringify({ ...head, object: 'text_completion', choices: [], usage }))}\n\n`
}

function eventsOf(id: string, record: Bytes, kind: RecordKind, progress: Progress): Bytes {
  switch (kind) {
    case 'chunk':
    case 'document':
      return told(id, chunkIn(record))
    case 'reset':
      return sseEvent(id, '', errorJson(new SluiceError('stream_restarted').wire))
    case 'end': {
      const { state, error = new SluiceError('internal').wire } = parseEnd(record)
      if (state !== 'done') return sseEvent(id, '', errorJson(error))
      return (progress.usage ? usageEvent(progress, record) : '') + sseEvent(id, '', '[DONE]')
    }
    default:
      return ''
  }
}

export const stream: StreamForm<Progress> = {
  name: 'completions',
  takesBack: false,
  begin: ({ dialect, shownAs }) => (dialect === 'completions' && shownAs?.['include_usage'] === true ? USAGE : NONE),
  render({ epoch, firstSeq, records }, state, known) {
    let events = ''
    let progress = state
    for (const [i, record] of records.entries()) {
      const kind = kindOf(record)
      // Thought alone, which is not shown, was withdrawn
      if (kind === 'reset' && !progress.told) continue
      if (progress.usage) progress = noted(progress, record, kind)
      const event = eventsOf(formatCursor(epoch, firstSeq + i), record, kind, progress)
      if (firstSeq + i > known) events += event
      if (event !== '' && !progress.told) progress = { ...progress, told: true }
      if (kind === 'reset' || kind === 'end') return { events, state: progress, over: true }
    }
    return { events, state: progress, over: false }
  },
  // A reset ends the stream, wherever it is in the log
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `data: ${errorJson(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
}
