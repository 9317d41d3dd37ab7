/** What an attempt does to single records. */
import { chunkShows, endsChoice, reasonOf } from '../core/delta.ts'
import { chunkOf, parseDocument } from '../core/document.ts'
import { isObject, type JsonObject } from '../core/fold.ts'
import { type Bytes, kindOf, payloadOf, toBytes, toText } from '../core/record.ts'
import type { Identity } from './plan.ts'

/** A choice has its end, or the usage of all of them is there. */
export const endsAnswer = (record: Bytes): boolean =>
  kindOf(record) !== 'chunk' || endsChoice(JSON.parse(toText(record)) as JsonObject)

/** Its provider's policy ended a choice, and nothing is shown here. */
export function isFiltered(record: Bytes): boolean {
  const kind = kindOf(record)
  if ((kind !== 'chunk' && kind !== 'document') || !record.includes('content_filter')) return false
  const payload = payloadOf(record)
  const chunk = kind === 'document' ? chunkOf(parseDocument(payload)) : (JSON.parse(toText(payload)) as JsonObject)
  const { choices } = chunk
  if (!Array.isArray(choices) || chunkShows(chunk)) return false
  return choices.some((choice) => isObject(choice) && reasonOf(choice) === 'content_filter')
}

/** `id`, `created` and `model` are the first attempt's; the usage may be that of all. */
export function rewrite(chunk: Bytes, members: Identity & { readonly usage?: object }): Bytes {
  return toBytes(JSON.stringify({ ...(JSON.parse(toText(chunk)) as object), ...members }))
}
