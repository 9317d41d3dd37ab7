/** Does a chunk show anything? Until one does, an answer may be begun anew elsewhere without a reader noticing. */

type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Members that label what is shown, and show nothing themselves. */
const LABELS = new Set(['role', 'id', 'type', 'format', 'object', 'provider_specific_fields'])
/** Where an id is already something: a second attempt would call under another one. */
const CALLS = new Set(['tool_calls', 'function_call'])

/** Has any of its deltas a text, reasoning, call, audio or image that is not empty? */
export function showsSomething(chunk: Json): boolean {
  const { choices } = chunk
  return Array.isArray(choices) && choices.some((choice) => isObject(choice) && deltaShows(choice['delta']))
}

/** Only opens the answer: it shows nothing, and ends no choice. */
export function isOpening(chunk: Json): boolean {
  const { choices } = chunk
  const ends = Array.isArray(choices) && choices.some((choice) => isObject(choice) && reasonOf(choice) !== null)
  return !ends && !showsSomething(chunk)
}

/** A choice's finish reason; null where it has none, however an upstream spells that. */
export function reasonOf(choice: Json): string | null {
  const reason = choice['finish_reason']
  if (typeof reason !== 'string') return null
  const text = reason.trim()
  return text === '' || text.toLowerCase() === 'null' ? null : text
}

export const deltaShows = (delta: unknown): boolean =>
  isObject(delta) &&
  Object.entries(delta).some(([name, value]) => (CALLS.has(name) ? callShows(value) : shows(name, value)))

function shows(name: string, value: unknown): boolean {
  if (LABELS.has(name)) return false
  if (typeof value === 'string') return value !== ''
  if (Array.isArray(value)) return value.some((item) => shows('', item))
  return isObject(value) && Object.entries(value).some(([member, part]) => shows(member, part))
}

function callShows(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(callShows)
  return (
    isObject(value) && Object.entries(value).some(([name, part]) => (name === 'id' ? part !== '' && part !== null : shows(name, part)))
  )
}
