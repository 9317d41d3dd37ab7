/**
 * What a simulated Redis holds: texts, hashes, lists, sets, sorted sets and streams by key. Texts are bytes, one char
 * each. What changes it is a function of what it holds, of its time and of its arguments, so that it can be done again.
 */

/** Id of an entry, and the values of its fields. */
export type StreamEntry = readonly [id: string, texts: readonly string[]]

export type Value =
  | string
  | string[]
  | Map<string, string>
  | Map<string, number>
  | Set<string>
  | { readonly entries: StreamEntry[]; last: string }

export class Database {
  /** Its clock, ms. */
  now = 0
  /** Of the server; another one after each start. */
  runId = ''
  #values = new Map<string, Value>()
  #expiries = new Map<string, number>()

  copy(): Database {
    const copy = new Database()
    copy.now = this.now
    copy.runId = this.runId
    copy.#expiries = new Map(this.#expiries)
    for (const [key, value] of this.#values) copy.#values.set(key, copyOf(value))
    return copy
  }

  // ------------------------------------------------------------ keys

  /** Those that are there and hold something. */
  keys(): string[] {
    return [...this.#values.keys()].filter((key) => {
      const value = this.#of(key)
      return value !== undefined && !isEmpty(value)
    })
  }

  value(key: string): Value | undefined {
    return this.#of(key)
  }

  exists(key: string): boolean {
    const value = this.#of(key)
    return value !== undefined && !isEmpty(value)
  }

  del(key: string): void {
    this.#values.delete(key)
    this.#expiries.delete(key)
  }

  expireAt(key: string, at: number): void {
    if (this.exists(key)) this.#expiries.set(key, at)
  }

  persist(key: string): void {
    this.#expiries.delete(key)
  }

  isExpiring(key: string): boolean {
    return this.#expiries.has(key)
  }

  #of(key: string): Value | undefined {
    const expiry = this.#expiries.get(key)
    if (expiry !== undefined && expiry <= this.now) this.del(key)
    return this.#values.get(key)
  }

  // ------------------------------------------------------------ values

  get(key: string): string | null {
    return (this.#of(key) as string | undefined) ?? null
  }

  set(key: string, text: string, expiresAt?: number): void {
    this.#values.set(key, text)
    if (expiresAt === undefined) this.#expiries.delete(key)
    else this.#expiries.set(key, expiresAt)
  }

  incrBy(key: string, by: number): number {
    const n = Number(this.get(key) ?? 0) + by
    this.#values.set(key, String(n))
    return n
  }

  hash(key: string): Map<string, string> {
    return this.#there(key, () => new Map<string, string>())
  }

  list(key: string): string[] {
    return this.#there(key, () => [])
  }

  members(key: string): Set<string> {
    return this.#there(key, () => new Set<string>())
  }

  scores(key: string): Map<string, number> {
    return this.#there(key, () => new Map<string, number>())
  }

  stream(key: string): { readonly entries: StreamEntry[]; last: string } {
    return this.#there(key, () => ({ entries: [], last: '0-0' }))
  }

  #there<T extends Value>(key: string, make: () => T): T {
    const there = this.#of(key) as T | undefined
    if (there !== undefined) return there
    const made = make()
    this.#values.set(key, made)
    return made
  }

  /** Returns the id of the entry. */
  append(key: string, ...texts: readonly string[]): string {
    const stream = this.stream(key)
    const [ms, n] = stream.last.split('-').map(Number)
    const now = Math.floor(this.now)
    stream.last = now > ms ? `${now}-0` : `${ms}-${n + 1}`
    stream.entries.push([stream.last, texts])
    return stream.last
  }

  /** Drops what is before the id. */
  trim(key: string, before: string): void {
    const { entries } = this.stream(key)
    const first = entries.findIndex(([id]) => !isEarlier(id, before))
    entries.splice(0, first < 0 ? entries.length : first)
  }
}

/** Ids of a stream's entries: "<ms>-<n>". */
export function isEarlier(a: string, b: string): boolean {
  const [aMs, aN] = a.split('-').map(Number)
  const [bMs, bN] = b.split('-').map(Number)
  return aMs < bMs || (aMs === bMs && aN < bN)
}

function isEmpty(value: Value): boolean {
  if (typeof value === 'string') return false
  if (Array.isArray(value)) return value.length === 0
  return 'entries' in value && Array.isArray(value.entries) ? false : (value as Set<string>).size === 0
}

function copyOf(value: Value): Value {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return [...value]
  if (value instanceof Set) return new Set(value)
  if (value instanceof Map) return new Map(value as Map<string, string>)
  return { entries: [...value.entries], last: value.last }
}
