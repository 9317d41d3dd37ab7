/**
 * For what comes and goes by the thousand (jobs, calls, readers). V8 links an outgrown hash table of a Map or Set to
 * its successor. Once one such dead table is in old space, every later one is reachable from it, and with them
 * everything they held when they were outgrown: nearly every ended request then survives until a major collection.
 * Here hash tables hold numbers, and objects are in arrays, which have no successors.
 */

/** Objects by index: each keeps its index while it is in here. */
export class Slots<T> {
  readonly #items: Array<T | undefined> = []
  readonly #free: number[] = []

  get size(): number {
    return this.#items.length - this.#free.length
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

/** Like a Map from text to objects, in order of insertion. */
export class Table<K extends string, V extends object> {
  readonly #places = new Map<K, number>()
  readonly #slots = new Slots<V>()

  get size(): number {
    return this.#places.size
  }

  has(key: K): boolean {
    return this.#places.has(key)
  }

  get(key: K): V | undefined {
    const place = this.#places.get(key)
    return place === undefined ? undefined : this.#slots.get(place)
  }

  set(key: K, value: V): void {
    const place = this.#places.get(key)
    if (place === undefined) this.#places.set(key, this.#slots.add(value))
    else this.#slots.set(place, value)
  }

  delete(key: K): boolean {
    const place = this.#places.get(key)
    if (place === undefined) return false
    this.#places.delete(key)
    return this.#slots.delete(place, this.#slots.get(place)!)
  }

  *values(): Generator<V> {
    for (const place of this.#places.values()) yield this.#slots.get(place)!
  }

  *entries(): Generator<[K, V]> {
    for (const [key, place] of this.#places) yield [key, this.#slots.get(place)!]
  }

  keys(): IterableIterator<K> {
    return this.#places.keys()
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
