/** A whole answer (a `chat.completion`) as the one chunk that it amounts to in dialects that stream. */
import { choiceIndex, isObject, type Json, type JsonObject, showsSomething } from './fold.ts'
import { type Bytes, toBytes, toText } from './record.ts'

/**
 * Anything but a `chat.completion` (an embedding) stays as it is. `isTold`: did deltas already show this choice's
 * answer, so that the message only repeats it?
 */
export function chunkOf(document: JsonObject, isTold: (index: number) => boolean = () => false): JsonObject {
  const { choices } = document
  if (!Array.isArray(choices) || !choices.some((choice) => isObject(choice) && isObject(choice['message'])))
    return document
  const choiceOf = (choice: Json, position: number): Json => {
    if (!isObject(choice)) return choice
    const { message, delta, ...rest } = choice
    const index = choiceIndex(choice, position, choices.length)
    const own = isObject(delta) ? delta : {}
    const isNew = isObject(message) && !showsSomething(own) && !isTold(index)
    return { ...rest, index, delta: isNew ? { role: 'assistant', ...message, ...indexed(message['tool_calls']) } : own }
  }
  return { ...document, object: 'chat.completion.chunk', choices: choices.map(choiceOf) }
}

/** In a delta each tool call has its index. */
function indexed(calls: Json | undefined): JsonObject {
  if (!Array.isArray(calls)) return {}
  return { tool_calls: calls.map((call, index) => (isObject(call) ? { index, ...call } : call)) }
}

export const parseDocument = (document: Bytes): JsonObject =>
  JSON.parse(toText(document).replace(/^\ufeff/, '')) as JsonObject

/** The same for bytes. `change`: a further change to the chunk. */
export function chunkBytesOf(document: Bytes, change: (chunk: JsonObject) => JsonObject = (chunk) => chunk): Bytes {
  // No message, no chunk: 2,048 embeddings are not parsed for nothing
  if (!document.includes('message')) return toLine(document)
  return toBytes(JSON.stringify(change(chunkOf(parseDocument(document)))))
}

/** Line ends in valid JSON are white space. */
const toLine = (json: Bytes): Bytes =>
  json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]+/g, ' ') : json
