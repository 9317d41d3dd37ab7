/**
 * For what comes and goes by the thousand (jobs, calls, readers). V8 links an outgrown hash table of a Map or Set to
 * its successor. Once one such dead table lies in old space, every later one is reachable from it, and with them all
 * that they held when they were outgrown: nearly every ended request then survives until a major collection. Here the
 * hash tables hold numbers, and the objects lie in arrays, which have no successors.
 */

/** Objects by their place: a number that stays theirs while they are in here. */
export class Slots<T> {
  readonly #items: Array<T | undefined> = []
  readonly #free: number[] = []

  get size(): number {
    return this.#items.length - this.#free.length
  }

  /** Returns its place, to be kept for `delete`. */
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

  /** False where `item` is not there (any more): safe to repeat. */
  delete(place: number, item: T): boolean {
    if (place < 0 || this.#items[place] !== item) return false
    this.#items[place] = undefined
    this.#free.push(place)
    if (this.#free.length === this.#items.length) this.#items.length = this.#free.length = 0
    return true
  }

  /** In no order. What is added meanwhile may be left out, what is deleted meanwhile is. */
  *[Symbol.iterator](): Generator<T> {
    for (let i = 0; i < this.#items.length; i++) {
      const item = this.#items[i]
      if (item !== undefined) yield item
    }
  }
}

/** As a Map of objects by text, in order of insertion. */
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

/** What a Chain's items carry for it. */
export interface Link<T> {
  before: T | null
  after: T | null
}

/** Items in the order they came, of which any may leave. Each is in one chain at a time. */
export class Chain<T extends { readonly link: Link<T> }> {
  #first: T | null = null
  #last: T | null = null

  get first(): T | null {
    return this.#first
  }

  has(item: T): boolean {
    return item.link.before !== null || this.#first === item
  }

  /** To the end; what is here already stays where it is. */
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
    // One that has left must not keep its old neighbors alive
    item.link.before = item.link.after = null
    return true
  }

  /** What is deleted while it is being looked at ends the round: take `first` again. */
  *[Symbol.iterator](): Generator<T> {
    for (let item = this.#first; item !== null; ) {
      const { after } = item.link
      yield item
      item = after
    }
  }
}
