/** Finds the error in an event or a document. Upstreams have many spellings, and none of them is a status. */
import { isObject, type JsonObject } from '../../../core/fold.ts'
import { type Bytes, toText } from '../../../core/record.ts'
import { objectIn, parseJson } from './json.ts'

/** Members that tell what went wrong, and that carry a code, in any spelling (see `plain`). */
const TEXTS = ['message', 'msg', 'errormessage', 'errormsg', 'errmsg', 'statusmsg', 'fault', 'faultstring', 'exception']
const CODES = ['code', 'status', 'statuscode', 'errorcode']
const GOOD_CODES = new Set(['0', '200', 'ok', 'success', 'true'])
/** Types of events that are something else. */
const HARMLESS = /^(?:ping|heartbeat|keep[-_]?alive|info|status|progress|log|debug)$/i

const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '')

/** An error's members by their plain names: `statusCode`, `status_code` and `StatusCode` are one. */
export function plainMembers(object: JsonObject): ReadonlyMap<string, unknown> {
  const members = new Map<string, unknown>()
  for (const name of Object.keys(object))
    if (name.length <= 32 && !members.has(plain(name))) members.set(plain(name), object[name])
  return members
}

/** Not null, false, 0, nor empty in any other way: many upstreams send an empty `error` with each chunk. */
export function isSomething(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() !== ''
  if (Array.isArray(value)) return value.some(isSomething)
  if (isObject(value)) return Object.values(value).some(isSomething)
  return value !== null && value !== undefined && value !== false && value !== 0
}

/** A text, or an object around one; an answer's own `message` has a role or a content, and is none. */
const tells = (value: unknown): boolean =>
  isSomething(value) && !(isObject(value) && ('role' in value || 'content' in value))

/**
 * The error that an event or a document is, as the object that describes it; null when it is none. `answer`: the member
 * that an answer of this kind has, and an error has not.
 */
export function errorIn(event: JsonObject, answer: 'choices' | 'data' = 'choices'): unknown {
  for (const name of ['error', 'errors']) {
    const value = event[name]
    if (isSomething(value)) return typeof value === 'object' || typeof value === 'string' ? value : event
  }
  const { type, object, base_resp: base, x_groq: groq } = event
  if (type === 'error' || type === 'exception' || object === 'error') return event
  if (isObject(base) && Number(base['status_code'] ?? 0) !== 0) return base
  if (isObject(groq) && isSomething(groq['error'])) return groq['error']
  if (Array.isArray(event[answer]) || (typeof type === 'string' && HARMLESS.test(type))) return null
  if (isSomething(event['detail'])) return event
  if (event['success'] === false || event['ok'] === false) return event
  const members = plainMembers(event)
  const isGood =
    event['success'] === true || CODES.some((name) => GOOD_CODES.has(String(members.get(name)).toLowerCase()))
  return !isGood && TEXTS.some((name) => tells(members.get(name))) ? event : null
}

/** An error that was found in bytes, as people read it: its text decoded. `answer`: as of `errorIn`. */
export function readableError(payload: Bytes, error: unknown, answer: 'choices' | 'data'): unknown {
  const text = objectIn(parseJson(toText(payload)))
  return (text === null ? null : errorIn(text, answer)) ?? error
}
