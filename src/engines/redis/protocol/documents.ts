/** A document as Redis has it: lua/documents.lua. */
import type { DocumentKind } from '../../../core/ports/documents.ts'
import type { StoredDocument } from '../../shared/documents.ts'

const HEAD = /^(\d+) (\d+|-) (\d+|-) (\d+) /

const written = (ms: number | null): string => (ms === null ? '-' : String(ms))
const readTime = (text: string): number | null => (text === '-' ? null : Number(text))

/** For documents-put, `version` being the one in whose place it comes; for put-document, its own. */
export const documentArgs = (
  { kind, id, tenant, text, dueAtMs, expiresAtMs }: StoredDocument,
  version: number,
): readonly (string | number)[] => [kind, id, version, tenant, written(dueAtMs), written(expiresAtMs), text]

/** Null: it is damaged. */
export function readDocument(kind: DocumentKind, id: string, stored: string): StoredDocument | null {
  const head = HEAD.exec(stored)
  if (head === null) return null
  const [whole, version, due, expires, bytes] = head
  // The tenant's name is measured in bytes
  const rest = Buffer.from(stored.slice(whole.length))
  return {
    kind,
    id,
    tenant: rest.toString('utf8', 0, Number(bytes)),
    text: rest.toString('utf8', Number(bytes)),
    dueAtMs: readTime(due),
    expiresAtMs: readTime(expires),
    version: Number(version),
  }
}
