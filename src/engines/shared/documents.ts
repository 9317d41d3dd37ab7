/** What both engines store of a document, and what they refuse. */
import { SluiceError } from '../../core/errors.ts'
import { isRecord } from '../../core/json.ts'
import { DOCUMENT_KINDS, type Document, MAX_DOCUMENT_BYTES, type NewDocument } from '../../core/ports/documents.ts'
import { parse } from './shape.ts'

/** Those that are listed, or due, at once. */
const MAX_LIMIT = 1_000
const ID = /^[A-Za-z0-9_-]{1,128}$/

export const DAMAGED_DOCUMENT = 'A document is damaged, and is not shown any more.'

/** Without its body. */
export type DocumentHead = Omit<Document, 'body'>

/** As a store has it. */
export interface StoredDocument extends DocumentHead {
  readonly text: string
}

/** Times in whole milliseconds. Throws invalid_request. */
export function prepared(document: NewDocument, version: number): StoredDocument {
  const { kind, id, tenant, body, dueAtMs, expiresAtMs } = document
  if (!DOCUMENT_KINDS.includes(kind) || !ID.test(id))
    throw new SluiceError('invalid_request', { message: `"${id}" can't be the id of a document (A-Z a-z 0-9 _ -).` })
  const text = JSON.stringify(body)
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_DOCUMENT_BYTES)
    throw new SluiceError('invalid_request', {
      message: `What is to be stored of ${id} takes ${bytes} bytes: it may have ${MAX_DOCUMENT_BYTES}.`,
    })
  return { kind, id, tenant, text, dueAtMs: whole(dueAtMs), expiresAtMs: whole(expiresAtMs), version: version + 1 }
}

const whole = (ms: number | null): number | null => (ms === null || !Number.isFinite(ms) ? null : Math.ceil(ms))

/** Null: it is damaged. */
export function documentOf({ text, kind, id, tenant, dueAtMs, expiresAtMs, version }: StoredDocument): Document | null {
  const body = parse(text)
  return isRecord(body) ? { kind, id, tenant, body, dueAtMs, expiresAtMs, version } : null
}

export const limited = (limit: number): number => Math.max(0, Math.min(MAX_LIMIT, Math.floor(limit)))
