/**
 * What a model thought, as its client may keep it and give it back: sealed, with what its provider signed it with, so
 * that the next request has it where nothing is stored under an id.
 */
import { isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { Rendering, Sealing } from '../../core/ports/dialect.ts'
import type { Block, Blocks } from '../blocks.ts'

/** Of `include`. */
const ENCRYPTED = 'reasoning.encrypted_content'

/** A job, and by whom its thought is sealed. */
export interface Shown extends Rendering {
  readonly sealing: Sealing
}

/** A thought, as much as goes back to its model. `more`: of calls by their ids, what their provider wants back. */
export type Thought = Pick<Block, 'text' | 'signature' | 'encrypted' | 'more'>

export const shownBy =
  (sealing: Sealing) =>
  (job: Rendering): Shown => ({ ...job, sealing })

export const wantsThought = ({ include }: JsonRecord): boolean => Array.isArray(include) && include.includes(ENCRYPTED)

/** `encrypted_content`, for those who asked for it. */
export function sealedIn(
  { shownAs, tenant, sealing }: Shown,
  { text, signature, encrypted, more }: Thought,
): JsonObject {
  if (shownAs?.['thought'] !== true) return {}
  const sealed = sealing.seal(JSON.stringify([text, signature, encrypted, more]), tenant)
  return sealed === null ? {} : { encrypted_content: sealed }
}

/**
 * What calls were signed with (Google does) has no place in their items: it comes after them, in a reasoning item of no
 * text, where nothing is stored that references could name. Null: there is none to tell.
 */
export function signedCalls(job: Shown, { calls, count: index }: Blocks): Block | null {
  if (job.shownAs?.['store'] !== false) return null
  const signed = calls.filter(({ id, more }) => id !== '' && Object.keys(more).length > 0)
  if (signed.length === 0) return null
  const more = Object.fromEntries(signed.map((call) => [call.id, call.more]))
  const nameless = { call: -1, id: '', name: '', isCustom: false }
  const block: Block = { kind: 'reasoning', index, text: '', signature: '', encrypted: '', ...nameless, more }
  return sealedIn(job, block)['encrypted_content'] === undefined ? null : block
}

/** A block that begins so has no text. */
export const isTextless = ({ signature, encrypted, more }: Block): boolean =>
  signature !== '' || encrypted !== '' || Object.keys(more).length > 0

/**
 * Of a reasoning item that comes back. What does not open (it is another server's, or its key is gone) is left out, and
 * the item's own text counts: a session that moved here goes on.
 */
export function thoughtIn(item: JsonRecord, open: (sealed: string) => string | null): Thought {
  const { encrypted_content: sealed, content, summary } = item
  const opened = isText(sealed) && sealed !== '' ? open(sealed) : null
  if (opened === null) return { text: textOf(content) || textOf(summary), ...NOTHING_SEALED }
  const [text, signature, encrypted, more] = JSON.parse(opened) as [string, string, string, JsonObject]
  return { text, signature, encrypted, more }
}

const NOTHING_SEALED = { signature: '', encrypted: '', more: {} }

const textOf = (parts: unknown): string =>
  Array.isArray(parts)
    ? parts.map((part: unknown) => (isRecord(part) && isText(part['text']) ? part['text'] : '')).join('')
    : ''

/** Members of an assistant's message. Its provider wants back as it was what it signed. */
export function thoughtOf(thoughts: readonly Thought[]): JsonObject {
  const text = thoughts.map((thought) => thought.text).join('')
  const signed = thoughts.filter(({ signature, encrypted }) => signature !== '' || encrypted !== '')
  return {
    ...(text !== '' && { reasoning_content: text }),
    ...(signed.length > 0 && { reasoning_details: signed.map(detailOf) }),
  }
}

const detailOf = ({ text, signature, encrypted }: Thought): JsonObject =>
  encrypted === '' ? { type: 'reasoning.text', text, signature } : { type: 'reasoning.encrypted', data: encrypted }
