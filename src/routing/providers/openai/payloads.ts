/** What single payloads of an OpenAI-dialect upstream are, and the records that they become. Pure. */
import { isUtf8 } from 'node:buffer'
import { isObject, type JsonObject } from '../../../core/fold.ts'
import { editObject } from '../../../core/json.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'

/** `[DONE]`, as it is or in quotes, with white space anywhere. */
export const isDone = (payload: Bytes): boolean =>
  payload.length < 64 && /^\s*["']?\s*\[\s*DONE\s*\]\s*["']?\s*$/i.test(payload)

/** A whole message beside a delta, or where one should be: an upstream's document as an event, or its last one. */
export const hasMessage = ({ choices }: JsonObject): boolean =>
  Array.isArray(choices) && choices.some((choice) => isObject(choice) && isObject(choice['message']))

/** Bytes that are no UTF-8, which some engines send for half a character, become U+FFFD. */
export const toUtf8 = (text: Bytes): Bytes => (isUtf8(Buffer.from(text, 'latin1')) ? text : toBytes(toText(text)))

/** A record is one line of valid UTF-8: line ends in valid JSON are white space. `chunk`: the payload, parsed. */
export function toLine(payload: Bytes, chunk: JsonObject): Bytes {
  const line = hasEmptyError(chunk) ? withoutError(payload) : payload
  return toUtf8(/[\r\n]/.test(line) ? line.replace(/[\r\n]+/g, ' ') : line)
}

/** OpenAI's SDK for JavaScript throws at any `error` that is truthy, and `{}` is. */
const hasEmptyError = ({ error }: JsonObject): boolean => typeof error === 'object' && error !== null

const withoutError = (payload: Bytes): Bytes =>
  Buffer.from(editObject(Buffer.from(payload, 'latin1'), { error: null })).toString('latin1')
