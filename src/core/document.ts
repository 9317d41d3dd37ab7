/** A whole answer in one piece (a `chat.completion`), as the one chunk that it amounts to in dialects that stream. */
import { isObject, type Json, type JsonObject } from './fold.ts'
import { type Bytes, toBytes, toText } from './record.ts'

/** Whatever is not a `chat.completion` (an embedding) stays as it is. */
export function chunkOf(document: JsonObject): JsonObject {
  const { choices } = document
  if (!Array.isArray(choices) || !choices.some((choice) => isObject(choice) && isObject(choice['message'])))
    return document
  return { ...document, object: 'chat.completion.chunk', choices: choices.map(choiceOf) }
}

function choiceOf(choice: Json, position: number): Json {
  if (!isObject(choice)) return choice
  const { message, ...rest } = choice
  const delta = isObject(message) ? { role: 'assistant', ...message, ...indexed(message['tool_calls']) } : {}
  return { index: position, ...rest, delta }
}

/** In a delta each tool call says which one it is. */
function indexed(calls: Json | undefined): JsonObject {
  if (!Array.isArray(calls)) return {}
  return { tool_calls: calls.map((call, index) => (isObject(call) ? { index, ...call } : call)) }
}

export const parseDocument = (document: Bytes): JsonObject =>
  JSON.parse(toText(document).replace(/^\ufeff/, '')) as JsonObject

/** The same for bytes. `change`: what else is to be done to the chunk. */
export const chunkBytesOf = (document: Bytes, change: (chunk: JsonObject) => JsonObject = (chunk) => chunk): Bytes =>
  toBytes(JSON.stringify(change(chunkOf(parseDocument(document)))))
