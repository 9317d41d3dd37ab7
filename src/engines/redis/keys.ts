/**
 * API keys. Each process holds all of them, and answers from memory (told.ts). One that could not look for too long
 * refuses keys instead of trusting what may have been revoked. A Redis that was emptied (FLUSHALL, a restart without
 * its files) is given the keys back, revocations included.
 */

import type { TenantId } from '../../core/job.ts'
import type { ApiKey, Keys, NewSecret } from '../../core/ports/keys.ts'
import { changed, KeyRing, readKey } from '../shared/key-ring.ts'
import { storageError, unavailable } from './client/errors.ts'
import { inTurn, MOST_A_CALL, NEVER_CHANGED, pairs, Told, type ToldParts } from './told.ts'

/** What it knows is good for this long. */
const TRUST_MS = 30_000

export class RedisKeys implements Keys {
  readonly #parts: ToldParts
  readonly #told: Told
  #ring = new KeyRing()
  /** As they are stored, by digest: what is the same stays the same object. */
  #stored = new Map<string, Stored>()
  /** Revoked here, and not stored yet: digest → when. They stay invalid, whatever Redis has. */
  readonly #revoking = new Map<string, number>()
  /** Damaged ones that the operator was told of. */
  readonly #warned = new Set<string>()
  readonly #emptied: () => Promise<void>
  #tell = (): void => {}

  private constructor(parts: ToldParts, emptied: () => Promise<void>) {
    this.#parts = parts
    this.#emptied = emptied
    this.#told = new Told(parts, (version) => this.#read(version))
  }

  /** `emptied`: Redis has lost everything; it is called until it resolves. Rejects with storage_unavailable. */
  static async open(parts: ToldParts, emptied: () => Promise<void> = async () => {}): Promise<RedisKeys> {
    const keys = new RedisKeys(parts, emptied)
    await keys.#told.open(parts.names.keysVersion())
    return keys
  }

  /** Throws storage_unavailable where it may have been revoked without our hearing of it. */
  find(digest: string): ApiKey | null {
    if (this.#told.ageMs > TRUST_MS) throw unavailable('Redis cannot be reached, so keys cannot be checked: retry.')
    return this.#ring.find(digest)
  }

  /** For what was let in before: it goes on while Redis is away. */
  get(id: string): ApiKey | null {
    return this.#ring.get(id)
  }

  all(): Iterable<ApiKey> {
    return this.#ring.all()
  }

  /** Of its newest secret. Null: there is no such key. */
  digestOf(id: string): string | null {
    return this.#ring.digestOf(id)
  }

  refresh(): Promise<void> {
    return this.#told.refresh()
  }

  onChange(fn: () => void): void {
    this.#tell = fn
  }

  async add(key: ApiKey, digest: string): Promise<void> {
    await this.#change('add', digest, JSON.stringify(key))
    await this.#told.look()
  }

  async addFirst(key: ApiKey, digest: string): Promise<boolean> {
    const added = await this.#change('first', digest, JSON.stringify(key))
    await this.#told.look()
    return added > 0
  }

  async change(id: string, to: (key: ApiKey) => ApiKey): Promise<ApiKey | null> {
    return this.#replace(() => {
      const digest = this.digestOf(id)
      return digest === null ? null : [[digest, changed(this.#ring.find(digest)!, to)]]
    })
  }

  async rotate(id: string, secret: NewSecret): Promise<ApiKey | null> {
    return this.#replace(
      () => this.#ring.rotated(id, secret),
      () => this.#ring.ended(id, secret.nowMs),
    )
  }

  /**
   * Invalid here from this turn of the event loop on, even if it can't be stored: that is tried again. When it
   * resolves, all processes have been told.
   */
  async revoke(id: string, atMs: number): Promise<boolean> {
    if (this.digestOf(id) === null) await this.#told.look()
    const digests = this.#ring.digestsOf(id)
    if (digests.length === 0) return false
    for (const digest of digests) {
      const key = this.#ring.find(digest)!
      this.#revoking.set(digest, key.revokedAtMs ?? atMs)
      this.#ring.put(digest, { ...key, revokedAtMs: key.revokedAtMs ?? atMs })
    }
    this.#tell()
    for (const digest of digests) await this.#storeRevocation(digest, this.#ring.find(digest)?.revokedAtMs ?? atMs)
    return true
  }

  /** As far as is known here. */
  isValid(digest: string): boolean {
    const key = this.#ring.find(digest)
    return key !== null && key.revokedAtMs === undefined
  }

  /** One was refused that is valid as far as is known here: looks why. */
  doubt(): void {
    this.#told.lookSoon()
  }

  async list(): Promise<readonly ApiKey[]> {
    await this.#told.look()
    return this.#ring.sorted()
  }

  /** Each process notes its own: the last to do so is right to the minute. */
  async noteUses(uses: ReadonlyArray<readonly [id: string, atMs: number]>): Promise<void> {
    const known = uses.filter(([id]) => this.digestOf(id) !== null)
    const { names, commands } = this.#parts
    for (let at = 0; at < known.length; at += MOST_A_CALL)
      try {
        const some = known.slice(at, at + MOST_A_CALL).flatMap(([id, atMs]) => [id, String(Math.floor(atMs))])
        await commands.client.hset(names.usedKeys(), ...some)
      } catch (error) {
        throw storageError(error)
      }
  }

  async lastUses(): Promise<ReadonlyMap<string, number>> {
    const { names, commands } = this.#parts
    try {
      const stored = await commands.client.hgetall(names.usedKeys())
      return new Map(Object.entries(stored).map(([id, atMs]) => [id, Number(atMs)]))
    } catch (error) {
      throw storageError(error)
    }
  }

  /** Removes all of a tenant's keys. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (;;) {
      await this.#told.look()
      const own = [...this.#ring.entries()].filter(([, key]) => key.tenant === tenant).map(([digest]) => digest)
      if (own.length === 0) return
      const some = own.slice(0, MOST_A_CALL)
      await this.#forgetUses(some.map((digest) => this.#ring.find(digest)!.id))
      await this.#change('remove', ...some)
    }
  }

  async #forgetUses(ids: readonly string[]): Promise<void> {
    const { names, commands } = this.#parts
    try {
      await commands.client.hdel(names.usedKeys(), ...ids)
    } catch (error) {
      throw storageError(error)
    }
  }

  close(): void {
    this.#told.close()
  }

  /** The first of what `to` makes of what is stored; null where it makes nothing. Digests that are `gone` go. */
  async #replace(
    to: () => ReadonlyArray<readonly [string, ApiKey]> | null,
    gone: () => readonly string[] = () => [],
  ): Promise<ApiKey | null> {
    const made = await inTurn(this.#told, async () => {
      const entries = to()
      if (entries === null) return { key: null }
      const stored = entries.flatMap(([digest, { revokedAtMs: _, ...key }]) => [digest, JSON.stringify(key)])
      for (const digest of gone()) stored.push(digest, '')
      return (await this.#change('replace', this.#told.version, ...stored)) > 0 ? { key: entries[0][1] } : null
    })
    await this.#told.look()
    return made.key
  }

  async #storeRevocation(digest: string, atMs: number): Promise<void> {
    await this.#change('revoke', digest, atMs)
    this.#revoking.delete(digest)
  }

  /** How many were changed. */
  async #change(...args: readonly (string | number)[]): Promise<number> {
    try {
      return Number(await this.#parts.scripts.run('keys-change', args))
    } catch (error) {
      throw storageError(error)
    }
  }

  async #read(known: string): Promise<string> {
    for (const [digest, atMs] of [...this.#revoking]) await this.#storeRevocation(digest, atMs)
    const [version, keys, revoked] = (await this.#parts.scripts.run('keys-read', [known])) as Read
    if (version === NEVER_CHANGED && keys?.length === 0 && this.#ring.size > 0) {
      await this.#giveBack()
      return known
    }
    if (keys !== undefined && revoked !== undefined) this.#know(keys, revoked)
    return version
  }

  /** A removal counts as a change of the keys: where there are none, and none is counted, Redis was emptied. */
  async #giveBack(): Promise<void> {
    await this.#emptied()
    const known = [...this.#ring.entries()]
    for (let at = 0; at < known.length; at += MOST_A_CALL)
      await this.#change(
        'again',
        ...known
          .slice(at, at + MOST_A_CALL)
          .flatMap(([digest, { revokedAtMs, ...key }]) => [digest, JSON.stringify(key), revokedAtMs ?? '']),
      )
    this.#told.readAgain()
  }

  #know(stored: readonly string[], revoked: readonly string[]): void {
    const revokedAt = new Map(pairs(revoked).map(([digest, at]) => [digest, Number(at)]))
    for (const [digest, at] of this.#revoking) if (!revokedAt.has(digest)) revokedAt.set(digest, at)
    const ring = new KeyRing()
    const known = new Map<string, Stored>()
    for (const [digest, text] of pairs(stored)) {
      const before = this.#stored.get(digest)
      const key = before?.text === text ? before.key : readKey(text)
      if (key === null) {
        this.#warn(digest)
        continue
      }
      known.set(digest, { text, key })
      const atMs = revokedAt.get(digest)
      ring.put(digest, atMs === undefined ? key : { ...key, revokedAtMs: atMs })
    }
    this.#ring = ring
    this.#stored = known
    this.#tell()
  }

  #warn(digest: string): void {
    if (this.#warned.has(digest)) return
    this.#warned.add(digest)
    this.#parts.emit({
      type: 'store-warned',
      code: 'row_damaged',
      detail: 'An API key is damaged in Redis, and is not accepted any more: make a new one.',
    })
  }
}

interface Stored {
  readonly text: string
  readonly key: ApiKey
}

type Read = readonly [version: string, keys?: readonly string[], revoked?: readonly string[]]
