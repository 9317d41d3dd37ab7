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

/** Does it show anything but reasoning? The first such chunk is the first output. */
export function chunkShowsOutput({ choices }: JsonObject): boolean {
  return Array.isArray(choices) && choices.some((choice) => isObject(choice) && outputShows(choice['delta']))
}

const outputShows = (delta: Json | undefined): boolean =>
  isObject(delta) &&
  Object.keys(delta).some((key) => !isReasoning(key) && showsSomething({ [key]: spoken(delta[key]) }))

export const isReasoning = (key: string): boolean => key.startsWith('reasoning') || key === 'thinking'

/** Some upstreams put their reasoning among the parts of `content`. */
const spoken = (value: Json): Json =>
  Array.isArray(value) ? value.filter((part) => !isObject(part) || !isReasoning(String(part['type']))) : value

/** Bytes of a message's texts: content, reasoning, arguments, …; of images and sounds none, however they are sent. */
export const textBytes = (value: Json, key = '', owner = ''): number => textSize(value, Buffer.byteLength, key, owner)

/** The same in characters: Unicode code points. */
export const textChars = (value: Json, key = '', owner = ''): number => textSize(value, codePoints, key, owner)

function textSize(value: Json, sizeOf: (text: string) => number, key: string, owner: string): number {
  if (typeof value === 'string')
    return key !== 'data' && isPiece(key, owner) && !value.startsWith('data:') ? sizeOf(value) : 0
  if (typeof value !== 'object' || value === null) return 0
  let size = 0
  if (Array.isArray(value)) for (const item of value) size += textSize(item, sizeOf, key, owner)
  else for (const name of Object.keys(value)) size += textSize(value[name], sizeOf, name, key)
  return size
}

function codePoints(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) count++
  return count
}
