/** Older completions (`/v1/completions`): the request as its client sent it, the answer as the canonical dialect. */
import { SluiceError } from '../../../core/errors.ts'
import { isObject, type Json, type JsonObject } from '../../../core/fold.ts'
import { editObject, memberText } from '../../../core/json.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import { parseJson } from './json.ts'

/** A chat has messages. */
export function isCompletion(body: Uint8Array): boolean {
  return memberText(body, 'prompt') !== null && memberText(body, 'messages') === null
}

/** A completion that goes on is one of a longer prompt. Throws where the prompt can't be made longer. */
export function withPrefix(body: Uint8Array, prefix: string | undefined): Uint8Array {
  if (prefix === undefined) return body
  const text = memberText(body, 'prompt')
  const prompt: unknown = text === null ? null : JSON.parse(text)
  const [first] = Array.isArray(prompt) ? (prompt as unknown[]) : [prompt]
  if (typeof first !== 'string' || memberText(body, 'echo') === 'true')
    throw new SluiceError('worker_lost', { message: 'A completion of tokens, or with "echo", cannot be continued.' })
  return editObject(body, { prompt: JSON.stringify(`${first}${prefix}`) })
}

/** One event, or a document. What is no completion (an error, `[DONE]`, garbage) stays as it is. */
export function asChat(payload: Bytes, isDocument: boolean): Bytes {
  // JSON's own escapes: it may stand for more than one byte
  const parsed = parseJson(toText(payload))
  if (!isObject(parsed) || !Array.isArray(parsed['choices'])) return payload
  const { choices, ...head } = parsed
  const object = isDocument ? 'chat.completion' : 'chat.completion.chunk'
  return toBytes(JSON.stringify({ ...head, object, choices: choices.map((choice) => chatChoice(choice, isDocument)) }))
}

function chatChoice(choice: Json, isDocument: boolean): Json {
  if (!isObject(choice) || typeof choice['text'] !== 'string') return choice
  const { text, ...rest } = choice
  if (isDocument) return { ...rest, message: { role: 'assistant', content: text } }
  const delta: JsonObject = text === '' ? {} : { content: text }
  return { ...rest, delta }
}
