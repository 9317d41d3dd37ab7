/**
 * API keys. Each process holds all of them, and answers from memory: it is told of changes, and looks for those that it
 * was not told of every few seconds and after each cut. One that could not look for too long refuses keys instead of
 * trusting what may have been revoked. A Redis that was emptied (FLUSHALL, a restart without its files) is given the
 * keys back, revocations included.
 */

import { sleep } from '../../core/clock.ts'
import type { TenantId } from '../../core/job.ts'
import { isRecord } from '../../core/json.ts'
import type { ApiKey, Keys } from '../../core/ports/keys.ts'
import type { Ground } from './bus/ground.ts'
import { storageError, unavailable } from './client/errors.ts'

/** It looks this often, and, where it could not, this soon again. */
const LOOK_MS = 4_000
const RETRY_MS = 1_000
/** What it knows is good for this long. */
const TRUST_MS = 30_000
/** Whoever asks for keys that are not there makes it look no more often. */
const REFRESH_MS = 50

type Parts = Pick<Ground, 'names' | 'commands' | 'scripts' | 'subscriber' | 'clock' | 'emit'>

export class RedisKeys implements Keys {
  readonly #parts: Parts
  #byDigest: ReadonlyMap<string, ApiKey> = new Map()
  /** By id. */
  #digests: ReadonlyMap<string, string> = new Map()
  /** Revoked here, and not stored yet: digest → when. They stay invalid, whatever Redis has. */
  readonly #revoking = new Map<string, number>()
  /** Damaged ones that the operator was told of. */
  readonly #warned = new Set<string>()
  #version = ''
  /** Redis may have forgotten changes since: its version says nothing. */
  #doubts = false
  #trustedMono = 0
  #looking: Promise<void> | null = null
  readonly #emptied: () => Promise<void>
  /** Looks that somebody waits for: the one that is yet to begin, and the last that has begun. */
  #nextRefresh: Promise<void> | null = null
  #refresh: Promise<void> = Promise.resolve()
  #refreshedMono = -REFRESH_MS
  /** What is being read may be older than a change that was told meanwhile. */
  #lookAgain = false
  #stopTimer = (): void => {}
  #closed = false

  private constructor(parts: Parts, emptied: () => Promise<void>) {
    this.#parts = parts
    this.#emptied = emptied
  }

  /** `emptied`: Redis has lost everything; it is called until it resolves. Rejects with storage_unavailable. */
  static async open(parts: Parts, emptied: () => Promise<void> = async () => {}): Promise<RedisKeys> {
    const keys = new RedisKeys(parts, emptied)
    await parts.subscriber.subscribe(parts.names.keysVersion(), () => keys.#lookSoon())
    const turned = (back: boolean): void => {
      keys.#doubts = true
      if (back) keys.#lookSoon()
    }
    parts.commands.onTurn(turned)
    parts.subscriber.onTurn(turned)
    await keys.#look()
    return keys
  }

  /** Throws storage_unavailable where it may have been revoked without our hearing of it. */
  find(digest: string): ApiKey | null {
    if (this.#parts.clock.monoMs() - this.#trustedMono > TRUST_MS)
      throw unavailable('Redis cannot be reached, so keys cannot be checked: retry.')
    return this.#byDigest.get(digest) ?? null
  }

  /** For what was let in before: it goes on while Redis is away. */
  get(id: string): ApiKey | null {
    const digest = this.#digests.get(id)
    return digest === undefined ? null : (this.#byDigest.get(digest) ?? null)
  }

  /** Null: there is no such key. */
  digestOf(id: string): string | null {
    return this.#digests.get(id) ?? null
  }

  refresh(): Promise<void> {
    this.#nextRefresh ??= this.#refreshInTurn()
    return this.#nextRefresh
  }

  async add(key: ApiKey, digest: string): Promise<void> {
    await this.#change('add', digest, JSON.stringify(key))
    await this.#look()
  }

  async addFirst(key: ApiKey, digest: string): Promise<boolean> {
    const added = await this.#change('first', digest, JSON.stringify(key))
    await this.#look()
    return added > 0
  }

  /**
   * Invalid here from this turn of the event loop on, even if it can't be stored: that is tried again. When it
   * resolves, all processes have been told.
   */
  async revoke(id: string, atMs: number): Promise<boolean> {
    if (!this.#digests.has(id)) await this.#look()
    const digest = this.#digests.get(id)
    const key = this.get(id)
    if (digest === undefined || key === null) return false
    if (key.revokedAtMs === undefined) {
      this.#revoking.set(digest, atMs)
      this.#byDigest = new Map(this.#byDigest).set(digest, { ...key, revokedAtMs: atMs })
    }
    await this.#storeRevocation(digest, key.revokedAtMs ?? atMs)
    return true
  }

  /** As far as is known here. */
  isValid(digest: string): boolean {
    const key = this.#byDigest.get(digest)
    return key !== undefined && key.revokedAtMs === undefined
  }

  /** One was refused that is valid as far as is known here: looks why. */
  doubt(): void {
    this.#lookSoon()
  }

  async list(): Promise<readonly ApiKey[]> {
    await this.#look()
    return [...this.#byDigest.values()].sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1))
  }

  /** Removes all of a tenant's keys. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (;;) {
      await this.#look()
      const own = [...this.#byDigest].filter(([, key]) => key.tenant === tenant).map(([digest]) => digest)
      if (own.length === 0) return
      await this.#change('remove', ...own.slice(0, MOST_A_CALL))
    }
  }

  close(): void {
    this.#closed = true
    this.#stopTimer()
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

  /** Resolves when what was stored at the call is known. */
  #look(): Promise<void> {
    this.#lookAgain = this.#looking !== null
    this.#looking ??= this.#read().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  /** Of those that wait none waits for a look that others, who come later, make last longer. */
  async #refreshInTurn(): Promise<void> {
    const { clock } = this.#parts
    await this.#refresh.catch(() => {})
    await sleep(clock, Math.max(0, this.#refreshedMono + REFRESH_MS - clock.monoMs()))
    this.#refreshedMono = clock.monoMs()
    this.#nextRefresh = null
    this.#refresh = this.#look()
    return this.#refresh
  }

  async #read(): Promise<void> {
    this.#stopTimer()
    try {
      do {
        this.#lookAgain = false
        await this.#readOnce()
      } while (this.#lookAgain)
      this.#lookIn(LOOK_MS)
    } catch (error) {
      this.#lookIn(RETRY_MS)
      throw storageError(error)
    }
  }

  async #readOnce(): Promise<void> {
    for (const [digest, atMs] of [...this.#revoking]) await this.#storeRevocation(digest, atMs)
    const askedMono = this.#parts.clock.monoMs()
    if (this.#doubts) this.#version = ''
    this.#doubts = false
    const [version, keys, revoked] = (await this.#parts.scripts.run('keys-read', [this.#version])) as Read
    if (version === NEVER_CHANGED && keys?.length === 0 && this.#byDigest.size > 0) return this.#giveBack()
    if (keys !== undefined && revoked !== undefined) this.#know(keys, revoked)
    this.#version = version
    this.#trustedMono = askedMono
  }

  /** A removal counts as a change of the keys: where there are none, and none is counted, Redis was emptied. */
  async #giveBack(): Promise<void> {
    await this.#emptied()
    const known = [...this.#byDigest]
    for (let at = 0; at < known.length; at += MOST_A_CALL)
      await this.#change(
        'again',
        ...known
          .slice(at, at + MOST_A_CALL)
          .flatMap(([digest, { revokedAtMs, ...key }]) => [digest, JSON.stringify(key), revokedAtMs ?? '']),
      )
    this.#lookAgain = true
  }

  #know(stored: readonly string[], revoked: readonly string[]): void {
    const revokedAt = new Map(pairs(revoked).map(([digest, at]) => [digest, Number(at)]))
    for (const [digest, at] of this.#revoking) if (!revokedAt.has(digest)) revokedAt.set(digest, at)
    const byDigest = new Map<string, ApiKey>()
    const digests = new Map<string, string>()
    for (const [digest, text] of pairs(stored)) {
      const key = readKey(text)
      if (key === null) {
        this.#warn(digest)
        continue
      }
      const atMs = revokedAt.get(digest)
      byDigest.set(digest, atMs === undefined ? key : { ...key, revokedAtMs: atMs })
      digests.set(key.id, digest)
    }
    this.#byDigest = byDigest
    this.#digests = digests
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

  #lookSoon(): void {
    if (this.#closed) return
    this.#look().catch(() => {}) // tried again by its timer
  }

  #lookIn(ms: number): void {
    this.#stopTimer()
    if (!this.#closed) this.#stopTimer = this.#parts.clock.after(ms, () => this.#lookSoon())
  }
}

/** Keys that one script removes, or gives back. */
const MOST_A_CALL = 500
/** A move puts keys without counting them. */
const NEVER_CHANGED = '0'

type Read = readonly [version: string, keys?: readonly string[], revoked?: readonly string[]]

function pairs(flat: readonly string[]): ReadonlyArray<readonly [string, string]> {
  const all: Array<readonly [string, string]> = []
  for (let i = 0; i < flat.length; i += 2) all.push([flat[i], flat[i + 1]])
  return all
}

function readKey(text: string): ApiKey | null {
  try {
    const key: unknown = JSON.parse(text)
    const isKey = isRecord(key) && ['id', 'tenant', 'name', 'hint'].every((member) => typeof key[member] === 'string')
    return isKey && typeof key['createdAtMs'] === 'number' ? (key as unknown as ApiKey) : null
  } catch {
    return null
  }
}
