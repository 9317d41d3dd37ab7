/** What a chunk means for its answer: does it show anything, does it end a choice, what does it cost? */
import { isObject, isPiece, type Json, type JsonObject, showsSomething } from './fold.ts'

/** Does any of its deltas have a non-empty text, reasoning, call, sound or image? */
export function chunkShows(chunk: JsonObject): boolean {
  const { choices } = chunk
  return Array.isArray(choices) && choices.some((choice) => isObject(choice) && deltaShows(choice))
}

export const deltaShows = ({ delta }: JsonObject): boolean => isObject(delta) && showsSomething(delta)

/**
 * It only opens the answer: it shows nothing, and ends no choice. Until something is shown, an answer may be started
 * again elsewhere without any reader noticing.
 */
export function isOpening(chunk: JsonObject): boolean {
  return !endsChoice(chunk) && !chunkShows(chunk)
}

/** Has any of its choices a finish reason? */
export const endsChoice = ({ choices }: JsonObject): boolean =>
  Array.isArray(choices) && choices.some((choice) => isObject(choice) && reasonOf(choice) !== null)

/** Spellings of "no reason yet". */
const NO_REASON = /^(?:|null|none|not_finished|unfinished|in_progress)$/i

/** A choice's finish reason; null where it has none, however an upstream spells that. */
export function reasonOf({ finish_reason: reason }: JsonObject): string | null {
  const text = typeof reason === 'string' ? reason.trim() : ''
  return NO_REASON.test(text) ? null : text
}

/** The upstream's own token count: `usage`, or where Groq puts it. */
export function usageOf({ usage, x_groq: groq }: JsonObject): JsonObject | null {
  if (isObject(usage)) return usage
  return isObject(groq) && isObject(groq['usage']) ? groq['usage'] : null
}

/** Bytes of a message's texts: content, reasoning, arguments, …; of images and sounds none, however they are sent. */
export function textBytes(value: Json, key = '', owner = ''): number {
  if (typeof value === 'string')
    return key !== 'data' && isPiece(key, owner) && !value.startsWith('data:') ? Buffer.byteLength(value) : 0
  if (typeof value !== 'object' || value === null) return 0
  let bytes = 0
  if (Array.isArray(value)) for (const item of value) bytes += textBytes(item, key, owner)
  else for (const name of Object.keys(value)) bytes += textBytes(value[name], name, key)
  return bytes
}
