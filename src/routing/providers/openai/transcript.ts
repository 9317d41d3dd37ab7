/** Events of a transcription, as chunks of the canonical dialect: its text is a choice's. Pure. */
import { isObject, type JsonObject } from '../../../core/fold.ts'
import { TRANSCRIPT_EVENT } from '../../../core/media.ts'
import { inTokens } from '../../../core/media-units.ts'
import { type Bytes, toBytes } from '../../../core/record.ts'

const HEAD = { object: 'chat.completion.chunk' }
const chunk = (choice: object, more: object = {}): Bytes =>
  toBytes(JSON.stringify({ ...HEAD, ...more, choices: [{ index: 0, ...choice }] }))

/**
 * Null: it is no event of a transcription. What chunks have no word for (logprobs, segments) is in a member of the
 * choice, as it came. `shown`: is there text before it?
 */
export function transcriptChunks(event: JsonObject, shown: boolean): readonly Bytes[] | null {
  const { type, ...rest } = event
  if (type === 'transcript.text.delta') {
    const { delta, ...more } = rest
    if (typeof delta !== 'string') return null
    return [chunk({ delta: { content: delta }, finish_reason: null, ...told(more) })]
  }
  if (type === 'transcript.text.done') {
    const { text, usage, ...more } = rest
    if (typeof text !== 'string') return null
    const missed = shown || text === '' ? [] : [chunk({ delta: { content: text }, finish_reason: null })]
    const usages = isObject(usage) ? [toBytes(JSON.stringify({ ...HEAD, choices: [], usage: inTokens(usage) }))] : []
    return [...missed, chunk({ delta: {}, finish_reason: 'stop', ...told(more) }), ...usages]
  }
  if (typeof type === 'string' && type.startsWith('transcript.'))
    return [chunk({ delta: {}, finish_reason: null, ...told(event) })]
  return null
}

const told = (members: object): object => (Object.keys(members).length === 0 ? {} : { [TRANSCRIPT_EVENT]: members })
