/** API keys. */
import type { TenantId } from '../job.ts'
import type { JsonRecord } from '../json.ts'
import type { Disabled } from './tenants.ts'

/** What a key may be used for; all, unless it names some. */
export const SCOPES = ['submit', 'read', 'manage', 'tickets', 'usage'] as const
export type Scope = (typeof SCOPES)[number]

export interface ApiKey {
  /** Stays the same when its secret is rotated: limits, usage and sessions go by it. */
  readonly id: string
  readonly tenant: TenantId
  readonly name: string
  /** First chars of a key that was made here, to tell keys apart; of others no more than that they are there. */
  readonly hint: string
  readonly createdAtMs: number
  /** Given to a start (SLUICE_KEY): it ends when another one is given. */
  readonly seeded?: true
  readonly expiresAtMs?: number
  readonly revokedAtMs?: number
  /** Absent: all. */
  readonly scopes?: readonly Scope[]
  /** Names of models that it may use, or beginnings that end in "*". Absent: all. */
  readonly models?: readonly string[]
  /** One level's limits, as given (coordinator/limits/settings.ts). Absent: those of each key of its tenant. */
  readonly limits?: JsonRecord
  readonly disabled?: Disabled
  /** Of its secret: one more with each rotation. Absent: 0. */
  readonly generation?: number
  /** When the secret before this one ends. */
  readonly previousEndsAtMs?: number
  /** When its secret was replaced: the same id has a newer one. */
  readonly replacedAtMs?: number
}

/** Keys are stored as digests, never themselves. */
export interface Keys {
  /** Answers from memory, as `get`: each process holds all keys. `digest`: SHA-256 of the key, base64url. */
  find(digest: string): ApiKey | null
  /** With its newest secret. */
  get(id: string): ApiKey | null
  /** All, from memory, those with replaced secrets too. */
  all(): Iterable<ApiKey>
  /**
   * Resolves when all is known that was stored at the call: for a key that this process may not have been told of yet.
   * Asked by many, it looks 20 times a second at most, and they wait. Null: it knows all.
   * Rejects with storage_unavailable.
   */
  refresh(): Promise<void> | null
  add(key: ApiKey, digest: string): Promise<void>
  /** Adds it if there is no key at all. False: there is one, whichever process added it. */
  addFirst(key: ApiKey, digest: string): Promise<boolean>
  /**
   * Stores what `to` makes of a key, with all that others have changed; null where there is none. Its id, tenant and
   * revocation stay as they are.
   */
  change(id: string, to: (key: ApiKey) => ApiKey): Promise<ApiKey | null>
  /**
   * Gives it another secret. The one it had ends at `endsAtMs` (or at its own end, if that is sooner), those before it
   * at once. Null where there is none, or it is revoked.
   */
  rotate(id: string, secret: NewSecret): Promise<ApiKey | null>
  /** False when there is none. */
  revoke(id: string, atMs: number): Promise<boolean>
  list(): Promise<readonly ApiKey[]>
  /** Keys were used, at these times: stored for `lastUses`, which is all that goes by it. Rejects as the store does. */
  noteUses(uses: ReadonlyArray<readonly [id: string, atMs: number]>): Promise<void>
  /** When each was last used, as far as that was stored. */
  lastUses(): Promise<ReadonlyMap<string, number>>
  /** `fn` is called after each change of the keys, wherever it was made. */
  onChange(fn: () => void): void
}

export interface NewSecret {
  readonly digest: string
  readonly hint: string
  readonly nowMs: number
  readonly endsAtMs: number
}
