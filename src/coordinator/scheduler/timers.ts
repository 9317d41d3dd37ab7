/** A binary heap of due times. Its items know their index, so that they can be moved and removed. */
export interface Timed {
  /** Breaks ties: the smaller goes first. */
  readonly seq: number
  /** Monotonic ms. Changed by the heap only. */
  due: number
  /** Index in the heap; -1 = not in it. */
  heapAt: number
}

export class Timers<T extends Timed> {
  readonly #heap: T[] = []

  first(): T | null {
    return this.#heap[0] ?? null
  }

  /** Infinity when nothing is due. */
  next(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0].due
  }

  /** Inserts it, moves it, or removes it (Infinity). */
  set(item: T, due: number): void {
    if (due === Infinity) {
      this.clear(item)
      return
    }
    const before = item.due
    item.due = due
    if (item.heapAt < 0) {
      item.heapAt = this.#heap.push(item) - 1
      this.#up(item)
    } else if (due < before) this.#up(item)
    else this.#down(item)
  }

  clear(item: T): void {
    const at = item.heapAt
    if (at < 0) return
    item.heapAt = -1
    const last = this.#heap.pop()!
    if (last === item) return
    this.#put(last, at)
    this.#up(last)
    this.#down(last)
  }

  /** Removes the first that is due by `now`; null when none is. */
  shift(now: number): T | null {
    const first = this.#heap[0]
    if (first === undefined || first.due > now) return null
    this.clear(first)
    return first
  }

  #put(item: T, at: number): void {
    this.#heap[at] = item
    item.heapAt = at
  }

  #up(item: T): void {
    let at = item.heapAt
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(item, this.#heap[parent])) break
      this.#put(this.#heap[parent], at)
      at = parent
    }
    this.#put(item, at)
  }

  #down(item: T): void {
    const heap = this.#heap
    let at = item.heapAt
    for (let child = 2 * at + 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++
      if (!isBefore(heap[child], item)) break
      this.#put(heap[child], at)
      at = child
    }
    this.#put(item, at)
  }
}

const isBefore = (a: Timed, b: Timed): boolean => a.due < b.due || (a.due === b.due && a.seq < b.seq)
