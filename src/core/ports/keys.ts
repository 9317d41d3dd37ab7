/** API keys. */
import type { TenantId } from '../job.ts'

export interface ApiKey {
  readonly id: string
  readonly tenant: TenantId
  readonly name: string
  /** First chars of the key, to tell keys apart. */
  readonly hint: string
  readonly createdAtMs: number
  readonly expiresAtMs?: number
  readonly revokedAtMs?: number
}

/** Keys are stored as digests, never themselves. */
export interface Keys {
  /** Answers from memory, as `get`: each process holds all keys. `digest`: SHA-256 of the key, base64url. */
  find(digest: string): ApiKey | null
  get(id: string): ApiKey | null
  /**
   * Resolves when all is known that was stored at the call: for a key that this process may not have been told of yet.
   * Asked by many, it looks 20 times a second at most, and they wait. Null: it knows all.
   * Rejects with storage_unavailable.
   */
  refresh(): Promise<void> | null
  add(key: ApiKey, digest: string): Promise<void>
  /** Adds it if there is no key at all. False: there is one, whichever process added it. */
  addFirst(key: ApiKey, digest: string): Promise<boolean>
  /** False when there is none. */
  revoke(id: string, atMs: number): Promise<boolean>
  list(): Promise<readonly ApiKey[]>
}
