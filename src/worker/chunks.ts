/** What an attempt does to single records. */
import { endsChoice } from '../core/delta.ts'
import type { JsonObject } from '../core/fold.ts'
import { type Bytes, kindOf, toBytes, toText } from '../core/record.ts'
import type { Identity } from './plan.ts'

/** A choice has its end, or the usage of all of them is there. */
export const endsAnswer = (record: Bytes): boolean =>
  kindOf(record) !== 'chunk' || endsChoice(JSON.parse(toText(record)) as JsonObject)

/** `id`, `created` and `model` are the first attempt's; the usage may be that of all. */
export function rewrite(chunk: Bytes, members: Identity & { readonly usage?: object }): Bytes {
  return toBytes(JSON.stringify({ ...(JSON.parse(toText(chunk)) as object), ...members }))
}
