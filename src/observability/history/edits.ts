/**
 * What was changed since: each change of what a node keeps has a number, over all of it. Whoever has a copy asks for
 * what came after the last number that it knows.
 */
export class Edits {
  #n = 0

  get last(): number {
    return this.#n
  }

  next(): number {
    return ++this.#n
  }
}

/** Something that was changed, and how it is told. */
export interface Edited<T> {
  readonly edit: number
  pack(): T
}

/** Index, value, index, value, … of what is not 0. */
export function sparse(cells: ArrayLike<number>): number[] {
  const packed: number[] = []
  for (let i = 0; i < cells.length; i++) if (cells[i] !== 0) packed.push(i, cells[i])
  return packed
}

/** What is no such list, of another version perhaps, is left out. */
export function unpack(packed: unknown, into: { [i: number]: number; fill(n: number): unknown; length: number }): void {
  into.fill(0)
  if (!Array.isArray(packed)) return
  for (let i = 0; i + 1 < packed.length && i < 2 * into.length; i += 2) {
    const [at, value] = [packed[i] as unknown, packed[i + 1] as unknown]
    if (typeof at === 'number' && at >= 0 && at < into.length && typeof value === 'number') into[Math.trunc(at)] = value
  }
}
