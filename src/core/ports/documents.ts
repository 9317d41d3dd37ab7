/**
 * Small things that outlive the process that made them, and that any process on the store may look at: batches, files,
 * webhooks. What one is, the store does not know. Whoever changes one names the version that it has read, so that of
 * two processes one succeeds: this is also how one claims what is due (it puts `dueAtMs` off, and has it until then).
 */
import type { TenantId } from '../job.ts'
import type { JsonRecord } from '../json.ts'

export const DOCUMENT_KINDS = [
  ...(['file', 'batch', 'webhook_endpoint', 'webhook_delivery', 'run', 'run_entry', 'conversation', 'made'] as const),
  'run_count',
] as const
export type DocumentKind = (typeof DOCUMENT_KINDS)[number]

/** Of a body as JSON, bytes in UTF-8. */
export const MAX_DOCUMENT_BYTES = 65_536

export interface Document {
  readonly kind: DocumentKind
  /** Unique within its kind: 1-128 characters of A-Z a-z 0-9 _ - ; those of `Ids` sort by their age. */
  readonly id: string
  readonly tenant: TenantId
  readonly body: JsonRecord
  /** When somebody has to look at it: wall clock of the store, ms; null: nobody has to. */
  readonly dueAtMs: number | null
  /** It is removed some time after this; null: it stays until somebody removes it. */
  readonly expiresAtMs: number | null
  /** 1 for the first, one more with each `put`. */
  readonly version: number
}

export type NewDocument = Omit<Document, 'version'>

export interface DocumentRange {
  /** Absent: all tenants'. */
  readonly tenant?: TenantId
  /** In the order of ids, from their greatest; those beyond this id. */
  readonly before?: string
  /** At most this many (1-1,000). */
  readonly limit: number
}

/** A change that has resolved is as safe as the durability of the store says. Rejects with storage_unavailable. */
export interface Documents {
  get(kind: DocumentKind, id: string): Promise<Document | null>
  /**
   * Stores it in place of that `version`; 0: there is none of this id. Null: another one is there (or none), and
   * nothing was stored. Rejects with storage_full, and with invalid_request where the body exceeds MAX_DOCUMENT_BYTES.
   */
  put(document: NewDocument, version: number): Promise<Document | null>
  /** False: it was not there in that version. */
  remove(kind: DocumentKind, id: string, version: number): Promise<boolean>
  list(kind: DocumentKind, range: DocumentRange): Promise<readonly Document[]>
  /** Those whose time has come, the longest due first; at most `limit` (1-1,000). */
  due(kind: DocumentKind, limit: number): Promise<readonly Document[]>
  /** How many somebody has to look at, now or later. */
  waiting(kind: DocumentKind): Promise<number>
}
