/** API keys, answered from memory. */
import type { StatementSync } from 'node:sqlite'
import type { TenantId } from '../../core/job.ts'
import type { ApiKey, Keys } from '../../core/ports/keys.ts'
import type { Store } from './disk/store.ts'

export class KeyStore implements Keys {
  readonly #store: Store
  readonly #byDigest = new Map<string, ApiKey>()
  /** By id. */
  readonly #digests = new Map<string, string>()
  #addingFirst = false
  readonly #put: StatementSync
  readonly #removeTenant: StatementSync

  constructor(store: Store) {
    this.#store = store
    this.#put = store.db.prepare('INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)')
    this.#removeTenant = store.db.prepare('DELETE FROM keys WHERE tenant = ?')
    for (const { digest, facts } of store.db.prepare('SELECT digest, facts FROM keys').all() as Array<{
      digest: string
      facts: string
    }>)
      try {
        this.#know(JSON.parse(facts) as ApiKey, digest)
      } catch {
        store.warn('row_damaged', 'An API key is damaged on disk, and is not accepted any more: make a new one.')
      }
  }

  find(digest: string): ApiKey | null {
    return this.#byDigest.get(digest) ?? null
  }

  get(id: string): ApiKey | null {
    const digest = this.#digests.get(id)
    return digest === undefined ? null : this.find(digest)
  }

  refresh(): null {
    return null
  }

  async add(key: ApiKey, digest: string): Promise<void> {
    await this.#save(key, digest, false)
    this.#know(key, digest)
    await this.#store.synced()
  }

  async addFirst(key: ApiKey, digest: string): Promise<boolean> {
    if (this.#byDigest.size > 0 || this.#addingFirst) return false
    this.#addingFirst = true
    try {
      await this.add(key, digest)
      return true
    } finally {
      this.#addingFirst = false
    }
  }

  /** Invalid from this turn of the event loop on, even if it can't be stored. */
  async revoke(id: string, atMs: number): Promise<boolean> {
    const digest = this.#digests.get(id)
    const key = this.get(id)
    if (digest === undefined || key === null) return false
    const revoked: ApiKey = { ...key, revokedAtMs: key.revokedAtMs ?? atMs }
    this.#know(revoked, digest)
    await this.#store.whileUp(this.#save(revoked, digest, true).then(() => this.#store.synced()))
    return true
  }

  async list(): Promise<readonly ApiKey[]> {
    return [...this.#byDigest.values()].sort((a, b) => a.createdAtMs - b.createdAtMs)
  }

  /** Removes all of a tenant's keys; committed when resolved. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (const [digest, key] of this.#byDigest) {
      if (key.tenant !== tenant) continue
      this.#byDigest.delete(digest)
      this.#digests.delete(key.id)
    }
    await this.#store.run(() => void this.#removeTenant.run(tenant), true)
  }

  #know(key: ApiKey, digest: string): void {
    this.#byDigest.set(digest, key)
    this.#digests.set(key.id, digest)
  }

  #save(key: ApiKey, digest: string, keep: boolean): Promise<void> {
    return this.#store.run(() => void this.#put.run(digest, key.id, key.tenant, JSON.stringify(key)), keep)
  }
}
