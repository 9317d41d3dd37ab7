/** A transcription as SSE: its text as it is heard, all of it at a good end, then `[DONE]`. */
import { parseDocument } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/fold.ts'
import { TRANSCRIPT_EVENT, textOf } from '../../core/media.ts'
import type { StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, formatCursor, kindOf, parseEnd, payloadOf, toBytes, toText } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'

interface Heard {
  readonly text: string
  /** What its last event has beside the text; null: nothing. */
  readonly more: JsonObject | null
  readonly usage: unknown
}
const NOTHING: Heard = Object.freeze({ text: '', more: null, usage: undefined })

interface Step {
  readonly heard: Heard
  /** Null: none is told. */
  readonly event: object | null
}

function stepOf(record: Bytes, heard: Heard): Step {
  const kind = kindOf(record)
  const payload = payloadOf(record)
  if (kind === 'document') {
    const { text, usage, ...more } = documentOf(payload)
    const delta = String(text ?? '')
    return { heard: { text: heard.text + delta, more, usage }, event: { type: 'transcript.text.delta', delta } }
  }
  if (kind !== 'chunk' && kind !== 'usage') return { heard, event: null }
  const { choices, usage } = JSON.parse(toText(payload)) as JsonObject
  const known = isObject(usage) ? { ...heard, usage } : heard
  const choice: unknown = Array.isArray(choices) ? choices[0] : null
  if (!isObject(choice)) return { heard: known, event: null }
  const { [TRANSCRIPT_EVENT]: told, delta, finish_reason: reason } = choice
  const more = isObject(told) ? told : null
  const text = isObject(delta) && typeof delta['content'] === 'string' ? delta['content'] : null
  if (text !== null)
    return {
      heard: { ...known, text: known.text + text },
      event: { type: 'transcript.text.delta', delta: text, ...more },
    }
  if (typeof reason === 'string') return { heard: { ...known, more }, event: null }
  return { heard: known, event: more }
}

/** Bare text, or what the upstream sent as JSON. */
function documentOf(payload: Bytes): JsonObject {
  const bare = textOf(payload)
  return bare === null ? parseDocument(payload) : { text: toText(bare.text) }
}

/** Its last event, and the end of all. */
function lastOf(id: string, { text, more, usage }: Heard): Bytes {
  const done = { type: 'transcript.text.done', text, ...more, ...(isObject(usage) && { usage: inItsWords(usage) }) }
  // Without an id: whoever is cut between them gets both again
  return `data: ${toBytes(JSON.stringify(done))}\n\n${sseEvent(id, '', '[DONE]')}`
}

/** Without what was added for those who count (openai/transcript.ts). */
export function inItsWords(usage: JsonObject): JsonObject {
  const { prompt_tokens: _prompt, completion_tokens: _completion, prompt_tokens_details: _details, ...own } = usage
  return 'input_tokens' in own || 'output_tokens' in own || 'seconds' in own ? own : usage
}

export const stream: StreamForm<Heard> = {
  name: 'transcriptions',
  takesBack: false,
  begin: () => NOTHING,
  render({ epoch, firstSeq, records }, state, known) {
    let events = ''
    let heard = state
    for (const [i, record] of records.entries()) {
      const kind = kindOf(record)
      const id = formatCursor(epoch, firstSeq + i)
      let event = ''
      if (kind === 'reset') event = sseEvent(id, '', errorJson(new SluiceError('stream_restarted').wire))
      else if (kind === 'end') {
        const { state: how, error = new SluiceError('internal').wire } = parseEnd(record)
        event = how === 'done' ? lastOf(id, heard) : sseEvent(id, '', errorJson(error))
      } else {
        const step = stepOf(record, heard)
        heard = step.heard
        if (step.event !== null) event = sseEvent(id, '', toBytes(JSON.stringify(step.event)))
      }
      if (firstSeq + i > known) events += event
      if (kind === 'reset' || kind === 'end') return { events, state: heard, over: true }
    }
    return { events, state: heard, over: false }
  },
  // All of the text is told at the end
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `data: ${errorJson(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
}
