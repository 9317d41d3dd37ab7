/** What operators have changed, and when: the last of it is kept. */
import type { JsonRecord } from '../json.ts'

export interface AuditEntry {
  /** Wall clock. */
  readonly atMs: number
  /** The address that it came from, with the admin key. */
  readonly from: string
  readonly requestId: string
  /** `key-created`, `tenant-disabled` … */
  readonly action: string
  /** What was changed: "key key_ab", "tenant acme", "model chat". */
  readonly target: string
  /** Its tenant; null: it has none. */
  readonly tenant: string | null
  /** The members that differ; no secrets. */
  readonly before: JsonRecord
  readonly after: JsonRecord
}

/** Entries that are kept. */
export const AUDIT_KEPT = 10_000

export interface Audit {
  /** Power-safe when resolved. */
  add(entry: AuditEntry): Promise<void>
  /** The newest first, at most `most`. */
  list(most: number): Promise<readonly AuditEntry[]>
}
