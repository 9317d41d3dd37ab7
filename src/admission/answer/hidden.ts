/** A request in which personal data has given way to placeholders, and the way back. */
import type { JsonRecord } from '../../core/json.ts'
import { editTexts, textsOf } from '../../core/text-request.ts'
import { notEditable } from '../not-editable.ts'
import type { Finder } from '../scan/finder.ts'
import { type Placeholders, placeholderFinder, placeholders } from '../scan/placeholders.ts'
import { Redactor, type Seeker } from '../scan/redactor.ts'

export interface Hidden {
  readonly body: Uint8Array
  readonly prefix: string | undefined
  /** Puts the originals back into what the provider answers; null: nothing was hidden. */
  readonly restoring: Seeker | null
}

const PLACEHOLDER = /\[[A-Z]{2,8}_\d{1,7}\]/g

/** Throws content_blocked where something can't be hidden. */
export function hide(body: Uint8Array, prefix: string | undefined, finder: Finder): Hidden {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const taken = bytes.includes('_') ? new Set(bytes.toString('latin1').match(PLACEHOLDER)) : new Set<string>()
  const stands = placeholders((placeholder) => taken.has(placeholder))
  const edit = (text: string): string => new Redactor([{ finder, found: stands.hide }]).whole(text)
  const hidden = editTexts(body, edit)
  const begun = prefix === undefined ? undefined : edit(prefix)
  if (stands.size() === 0) return { body, prefix, restoring: null }
  const isLeft = textsOf(JSON.parse(Buffer.from(hidden).toString('utf8')) as JsonRecord).some(
    (text) => edit(text) !== text,
  )
  if (isLeft) throw notEditable()
  return { body: hidden, prefix: begun, restoring: restoringOf(stands) }
}

const restoringOf = ({ show }: Placeholders): Seeker => ({ finder: placeholderFinder, found: show })
