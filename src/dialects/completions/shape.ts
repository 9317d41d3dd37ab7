/** Chunks and answers of the canonical dialect as `text_completion`. */
import { isObject, type Json, type JsonObject } from '../../core/fold.ts'

/** Null: there is nothing in it to tell. */
export function chunkOf(chunk: JsonObject): JsonObject | null {
  const { choices, ...head } = chunk
  if (!Array.isArray(choices)) return null
  const told = choices.flatMap((choice, position): JsonObject[] => {
    if (!isObject(choice)) return []
    const { delta, index = position, logprobs = null, finish_reason: finish = null } = choice
    const text = textIn(isObject(delta) ? delta['content'] : undefined)
    return text === '' && finish === null ? [] : [{ index, text, logprobs, finish_reason: finish }]
  })
  return told.length === 0 ? null : { ...head, object: 'text_completion', choices: told }
}

/** Of a `content`: a text, or a list of parts. */
export function textIn(content: Json | undefined): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part) => (isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('')
}
