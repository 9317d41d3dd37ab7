/**
 * For what comes and goes by the thousand (jobs, calls, readers). V8 links an outgrown hash table of a Map or Set to
 * its successor. Once one such dead table is in old space, every later one is reachable from it, and with them
 * everything they held when they were outgrown: nearly every ended request then survives until a major collection.
 * Nothing here is a Map or a Set.
 */

/** Objects by index: each keeps its index while it is in here. */
export class Slots<T> {
  readonly #items: Array<T | undefined> = []
  readonly #free: number[] = []

  get size(): number {
    return this.#items.length - this.#free.length
  }

  /** No index is as large as this. */
  get extent(): number {
    return this.#items.length
  }

  /** Returns its index, to be kept for `delete`. */
  add(item: T): number {
    const place = this.#free.pop() ?? this.#items.length
    this.#items[place] = item
    return place
  }

  get(place: number): T | undefined {
    return this.#items[place]
  }

  set(place: number, item: T): void {
    this.#items[place] = item
  }

  /** False if `item` is not there (any more): safe to repeat. */
  delete(place: number, item: T): boolean {
    if (place < 0 || this.#items[place] !== item) return false
    this.#items[place] = undefined
    this.#free.push(place)
    if (this.#free.length === this.#items.length) this.#items.length = this.#free.length = 0
    return true
  }

  /** In no order. Items added meanwhile may be left out, items deleted meanwhile are. */
  *[Symbol.iterator](): Generator<T> {
    for (let i = 0; i < this.#items.length; i++) {
      const item = this.#items[i]
      if (item !== undefined) yield item
    }
  }
}

/**
 * Like a Map from text to values, in order of insertion (names that are whole numbers come first). An object without
 * a prototype is a hash table to V8, and one without successors: when it is outgrown, nothing leads from the old to
 * the new.
 */
export class Table<K extends string, V extends object | string | number | true> {
  readonly #items = Object.create(null) as Record<K, V>
  #size = 0

  get size(): number {
    return this.#size
  }

  has(key: K): boolean {
    return this.#items[key] !== undefined
  }

  get(key: K): V | undefined {
    return this.#items[key]
  }

  set(key: K, value: V): void {
    if (this.#items[key] === undefined) this.#size++
    this.#items[key] = value
  }

  delete(key: K): boolean {
    if (this.#items[key] === undefined) return false
    this.#size--
    return delete this.#items[key]
  }

  *values(): Generator<V> {
    for (const [, value] of this.entries()) yield value
  }

  *entries(): Generator<[K, V]> {
    for (const key of this.keys()) {
      const value = this.get(key)
      if (value !== undefined) yield [key, value]
    }
  }

  keys(): readonly K[] {
    return Object.keys(this.#items) as K[]
  }
}

/** The links that a Chain's items carry. */
export interface Link<T> {
  before: T | null
  after: T | null
}

/** Items in order of arrival, any of which may leave. Each is in one chain at a time. */
export class Chain<T extends { readonly link: Link<T> }> {
  #first: T | null = null
  #last: T | null = null

  get first(): T | null {
    return this.#first
  }

  has(item: T): boolean {
    return item.link.before !== null || this.#first === item
  }

  /** Appends; an item that is here already stays where it is. */
  add(item: T): void {
    if (this.has(item)) return
    item.link.before = this.#last
    if (this.#last === null) this.#first = item
    else this.#last.link.after = item
    this.#last = item
  }

  delete(item: T): boolean {
    if (!this.has(item)) return false
    const { before, after } = item.link
    if (before === null) this.#first = after
    else before.link.after = after
    if (after === null) this.#last = before
    else after.link.before = before
    // An item that has left must not keep its old neighbors alive
    item.link.before = item.link.after = null
    return true
  }

  /** Deleting the current item ends the iteration: start again at `first`. */
  *[Symbol.iterator](): Generator<T> {
    for (let item = this.#first; item !== null; ) {
      const { after } = item.link
      yield item
      item = after
    }
  }
}
