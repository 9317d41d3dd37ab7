/** What is left of an attempt in a log, counted as the worker's meter counts what it sees: no usage was reported. */
import { chunkShows, isOpening, textBytes } from './delta.ts'
import { parseDocument } from './document.ts'
import { BYTES_PER_TOKEN } from './estimate.ts'
import { isObject, type JsonObject } from './fold.ts'
import { type Attempt, type Bytes, kindOf, payloadOf, toText } from './record.ts'

/** The attempt that this record begins; null: it begins none. */
export const attemptOf = (record: Bytes): Attempt | null =>
  kindOf(record) === 'attempt' ? (JSON.parse(toText(payloadOf(record))) as Attempt) : null

/** As the last chunk of most answers, which has only their finish reason. */
export function isBare(chunk: Bytes): boolean {
  try {
    return !chunkShows(JSON.parse(toText(chunk)) as JsonObject)
  } catch {
    return false
  }
}

/**
 * Output tokens in records of one attempt: chunks from the first that shows something on, but for a bare one at the
 * end; a document's by length.
 */
export function outputTokensIn(records: readonly Bytes[]): number {
  let tokens = 0
  let shown = false
  let last: Bytes | null = null
  for (const record of records) {
    const kind = kindOf(record)
    if (kind === 'document') tokens += inDocument(payloadOf(record))
    else if (kind === 'chunk') {
      if (!shown) {
        const chunk = JSON.parse(toText(record)) as JsonObject
        if (isOpening(chunk)) continue
        shown = chunkShows(chunk)
      }
      if (!shown) continue
      tokens++
      last = record
    }
  }
  return last !== null && isBare(last) ? tokens - 1 : tokens
}

function inDocument(document: Bytes): number {
  const { choices, usage } = parseDocument(document)
  const reported = isObject(usage) ? usage['completion_tokens'] : undefined
  if (typeof reported === 'number' && Number.isSafeInteger(reported) && reported >= 0) return reported
  const messages = Array.isArray(choices) ? choices.map((choice) => (isObject(choice) ? choice['message'] : null)) : []
  return Math.ceil(textBytes(messages) / BYTES_PER_TOKEN)
}
