/** All API keys in memory, by digest and by id. A key whose secret was rotated has several digests. */
import { isRecord } from '../../core/json.ts'
import type { ApiKey, NewSecret } from '../../core/ports/keys.ts'
import { parse } from './shape.ts'

export class KeyRing {
  readonly #byDigest = new Map<string, ApiKey>()
  /** By id, the newest secret first. */
  readonly #digests = new Map<string, string[]>()

  get size(): number {
    return this.#byDigest.size
  }

  find(digest: string): ApiKey | null {
    return this.#byDigest.get(digest) ?? null
  }

  get(id: string): ApiKey | null {
    const digest = this.digestOf(id)
    return digest === null ? null : this.find(digest)
  }

  /** Of its newest secret. */
  digestOf(id: string): string | null {
    return this.#digests.get(id)?.[0] ?? null
  }

  digestsOf(id: string): readonly string[] {
    return this.#digests.get(id) ?? []
  }

  entries(): IterableIterator<[string, ApiKey]> {
    return this.#byDigest.entries()
  }

  all(): Iterable<ApiKey> {
    return this.#byDigest.values()
  }

  /** In order of creation. */
  sorted(): readonly ApiKey[] {
    return [...this.#byDigest.values()].sort(
      (a, b) => a.createdAtMs - b.createdAtMs || byText(a.id, b.id) || generation(a) - generation(b),
    )
  }

  put(digest: string, key: ApiKey): void {
    this.#byDigest.set(digest, key)
    const digests = this.#digests.get(key.id) ?? []
    if (!digests.includes(digest)) digests.push(digest)
    if (digests.length > 1)
      digests.sort((a, b) => generation(this.find(b)!) - generation(this.find(a)!) || byText(a, b))
    this.#digests.set(key.id, digests)
  }

  delete(digest: string): void {
    const key = this.find(digest)
    if (key === null) return
    this.#byDigest.delete(digest)
    const left = this.digestsOf(key.id).filter((other) => other !== digest)
    if (left.length === 0) this.#digests.delete(key.id)
    else this.#digests.set(key.id, left)
  }

  /** Digests of a key's secrets that were replaced, and have ended: nothing needs them any more. */
  ended(id: string, nowMs: number): readonly string[] {
    return this.digestsOf(id).filter((digest) => {
      const { replacedAtMs, expiresAtMs = Infinity } = this.find(digest)!
      return replacedAtMs !== undefined && expiresAtMs < nowMs
    })
  }

  /**
   * What a rotation makes of a key's secrets, the new one first, without those that have `ended`; null: there is none
   * that may be rotated.
   */
  rotated(id: string, { digest, hint, nowMs, endsAtMs }: NewSecret): ReadonlyArray<readonly [string, ApiKey]> | null {
    const ended = this.ended(id, nowMs)
    const [current, ...older] = this.digestsOf(id).filter((each) => !ended.includes(each))
    const key = current === undefined ? null : this.find(current)
    if (key === null || key.revokedAtMs !== undefined) return null
    const until = (ms: number | undefined, end: number): number => Math.min(ms ?? Infinity, end)
    return [
      [digest, { ...key, hint, generation: generation(key) + 1, previousEndsAtMs: until(key.expiresAtMs, endsAtMs) }],
      [current, { ...key, expiresAtMs: until(key.expiresAtMs, endsAtMs), replacedAtMs: nowMs }],
      ...older.map((old): readonly [string, ApiKey] => {
        const { expiresAtMs, ...rest } = this.find(old)!
        return [old, { ...rest, expiresAtMs: until(expiresAtMs, nowMs) }]
      }),
    ]
  }
}

const generation = (key: ApiKey): number => key.generation ?? 0
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** As stored; null: damaged. */
export function readKey(text: string): ApiKey | null {
  const key = parse(text)
  const isKey = isRecord(key) && ['id', 'tenant', 'name', 'hint'].every((member) => typeof key[member] === 'string')
  return isKey && typeof key['createdAtMs'] === 'number' ? (key as unknown as ApiKey) : null
}

/** What no change may touch. */
export const changed = (key: ApiKey, to: (key: ApiKey) => ApiKey): ApiKey => {
  const { id, tenant, hint, createdAtMs } = key
  return { ...to(key), id, tenant, hint, createdAtMs }
}
