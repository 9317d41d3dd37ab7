/** API keys, answered from memory. */
import type { StatementSync } from 'node:sqlite'
import type { TenantId } from '../../core/job.ts'
import type { ApiKey, Keys, NewSecret } from '../../core/ports/keys.ts'
import { changed, KeyRing, readKey } from '../shared/key-ring.ts'
import type { Store } from './disk/store.ts'

export class KeyStore implements Keys {
  readonly #store: Store
  readonly #ring = new KeyRing()
  #addingFirst = false
  #tell = (): void => {}
  readonly #put: StatementSync
  readonly #remove: StatementSync
  readonly #removeTenant: StatementSync
  readonly #note: StatementSync
  readonly #forget: StatementSync

  constructor(store: Store) {
    this.#store = store
    this.#put = store.db.prepare('INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)')
    this.#remove = store.db.prepare('DELETE FROM keys WHERE digest = ?')
    this.#removeTenant = store.db.prepare('DELETE FROM keys WHERE tenant = ?')
    this.#note = store.db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)')
    this.#forget = store.db.prepare('DELETE FROM meta WHERE key = ?')
    for (const { digest, facts } of store.db.prepare('SELECT digest, facts FROM keys').all() as Array<{
      digest: string
      facts: string
    }>) {
      const key = readKey(facts)
      if (key !== null) this.#ring.put(digest, key)
      else store.warn('row_damaged', 'An API key is damaged on disk, and is not accepted any more: make a new one.')
    }
  }

  find(digest: string): ApiKey | null {
    return this.#ring.find(digest)
  }

  get(id: string): ApiKey | null {
    return this.#ring.get(id)
  }

  all(): Iterable<ApiKey> {
    return this.#ring.all()
  }

  refresh(): null {
    return null
  }

  onChange(fn: () => void): void {
    this.#tell = fn
  }

  async add(key: ApiKey, digest: string): Promise<void> {
    await this.#save([[digest, key]], false)
    this.#know([[digest, key]])
    await this.#store.synced()
  }

  async addFirst(key: ApiKey, digest: string): Promise<boolean> {
    if (this.#ring.size > 0 || this.#addingFirst) return false
    this.#addingFirst = true
    try {
      await this.add(key, digest)
      return true
    } finally {
      this.#addingFirst = false
    }
  }

  /** As `revoke`. */
  async change(id: string, to: (key: ApiKey) => ApiKey): Promise<ApiKey | null> {
    const digest = this.#ring.digestOf(id)
    if (digest === null) return null
    const key = changed(this.#ring.find(digest)!, to)
    await this.#store.whileUp(this.#replace([[digest, key]]))
    return key
  }

  /** As `revoke`. */
  async rotate(id: string, secret: NewSecret): Promise<ApiKey | null> {
    const keys = this.#ring.rotated(id, secret)
    if (keys === null) return null
    const gone = this.#ring.ended(id, secret.nowMs)
    await this.#store.whileUp(this.#replace(keys, gone))
    return keys[0][1]
  }

  /** In force from this turn of the event loop on, even if it can't be stored: then it rejects at once. */
  async revoke(id: string, atMs: number): Promise<boolean> {
    const digests = this.#ring.digestsOf(id)
    if (digests.length === 0) return false
    await this.#store.whileUp(
      this.#replace(
        digests.map((digest): Entry => {
          const key = this.#ring.find(digest)!
          return [digest, { ...key, revokedAtMs: key.revokedAtMs ?? atMs }]
        }),
      ),
    )
    return true
  }

  async list(): Promise<readonly ApiKey[]> {
    return this.#ring.sorted()
  }

  async noteUses(uses: ReadonlyArray<readonly [id: string, atMs: number]>): Promise<void> {
    await this.#store.ifUp(() =>
      this.#store.run(() => {
        for (const [id, atMs] of uses)
          if (this.#ring.digestOf(id) !== null) this.#note.run(`${USED}${id}`, String(Math.floor(atMs)))
      }, false),
    )
  }

  async lastUses(): Promise<ReadonlyMap<string, number>> {
    const rows = this.#store.db.prepare(`SELECT key, value FROM meta WHERE key > '${USED}' AND key < '${USED}~'`).all()
    return new Map(
      (rows as Array<{ key: string; value: string }>).map(({ key, value }) => [key.slice(USED.length), Number(value)]),
    )
  }

  /** Removes all of a tenant's keys; committed when resolved. */
  async removeTenant(tenant: TenantId): Promise<void> {
    const ids = new Set<string>()
    for (const [digest, key] of [...this.#ring.entries()])
      if (key.tenant === tenant) {
        ids.add(key.id)
        this.#ring.delete(digest)
      }
    this.#tell()
    await this.#store.run(() => {
      this.#removeTenant.run(tenant)
      for (const id of ids) this.#forget.run(`${USED}${id}`)
    }, true)
  }

  /** In force from this turn on: what another change is made of must be there. */
  async #replace(entries: readonly Entry[], gone: readonly string[] = []): Promise<void> {
    for (const digest of gone) this.#ring.delete(digest)
    this.#know(entries)
    await this.#save(entries, true, gone)
    await this.#store.synced()
  }

  #know(entries: readonly Entry[]): void {
    for (const [digest, key] of entries) this.#ring.put(digest, key)
    this.#tell()
  }

  #save(entries: readonly Entry[], keep: boolean, gone: readonly string[] = []): Promise<void> {
    return this.#store.run(() => {
      for (const digest of gone) this.#remove.run(digest)
      for (const [digest, key] of entries) this.#put.run(digest, key.id, key.tenant, JSON.stringify(key))
    }, keep)
  }
}

/** Begins the names in `meta` of when keys were last used. */
const USED = 'used '

type Entry = readonly [digest: string, key: ApiKey]
