/**
 * How often each magnitude came: twenty cells an octave, so that a value read is at most 1.75 % off, and the smallest
 * and the largest one as they are. Only cells between those that came take memory.
 */

const CELLS_PER_OCTAVE = 20
const OCTAVES = 20
const CELLS = CELLS_PER_OCTAVE * OCTAVES
/** The first cell begins at half a millisecond; the last one holds everything from 9 minutes on. */
const LOWEST_EXPONENT = -1
/** By so many cells the memory grows at once. */
const GROWS_BY = 16
const NONE = new Uint32Array(0)

export function cellOf(ms: number): number {
  const cell = Math.floor((Math.log2(ms) - LOWEST_EXPONENT) * CELLS_PER_OCTAVE)
  return cell > 0 ? Math.min(cell, CELLS - 1) : 0
}

/** Where a cell begins. */
const cellBound = (cell: number): number => 2 ** (LOWEST_EXPONENT + cell / CELLS_PER_OCTAVE)

/** Marks as a node tells them: the smallest and the largest value, then cell, count, cell, count, … */
export type PackedMarks = readonly [low: number, high: number, cells: readonly number[]]

export class Marks {
  #counts = NONE
  #count = 0
  /** The cell of the first of the counts. */
  #first = 0
  #low = Infinity
  #high = 0

  get bytes(): number {
    return this.#counts.byteLength
  }

  get count(): number {
    return this.#count
  }

  clear(): void {
    this.#counts = NONE
    this.#count = 0
    this.#low = Infinity
    this.#high = 0
  }

  /** `cell`: that of `ms`, which is the same for all the rings that it is marked in. */
  add(ms: number, cell: number): void {
    this.#add(cell, 1)
    if (ms < this.#low) this.#low = ms
    if (ms > this.#high) this.#high = ms
  }

  addAll(other: Marks): void {
    const counts = other.#counts
    for (let i = 0; i < counts.length; i++) if (counts[i] > 0) this.#add(other.#first + i, counts[i])
    this.#low = Math.min(this.#low, other.#low)
    this.#high = Math.max(this.#high, other.#high)
  }

  #add(cell: number, n: number): void {
    this.#count += n
    const at = cell - this.#first
    if (at >= 0 && at < this.#counts.length) this.#counts[at] += n
    else this.#grow(cell)[cell - this.#first] += n
  }

  #grow(cell: number): Uint32Array {
    const old = this.#counts
    const from = old.length === 0 ? cell : this.#first
    const first = Math.floor(Math.min(cell, from) / GROWS_BY) * GROWS_BY
    const end = Math.max(cell + 1, from + old.length)
    this.#counts = new Uint32Array(Math.ceil((end - first) / GROWS_BY) * GROWS_BY)
    this.#counts.set(old, from - first)
    this.#first = first
    return this.#counts
  }

  /** Those that are not empty, the smallest first. */
  each(fn: (cell: number, count: number) => void): void {
    const counts = this.#counts
    for (let i = 0; i < counts.length; i++) if (counts[i] > 0) fn(this.#first + i, counts[i])
  }

  /** How many were above this; of those in its own cell, all or none. */
  above(ms: number): number {
    let above = 0
    this.each((cell, n) => {
      if (this.#valueOf(cell) > ms) above += n
    })
    return above
  }

  /** The value that this share (0 to 1) of all is at or below, by the nearest rank; null if there are none. */
  quantile(share: number): number | null {
    const count = this.#count
    if (count === 0) return null
    const rank = Math.max(1, Math.ceil(count * share - 1e-9))
    if (rank === 1) return this.#low
    if (rank >= count) return this.#high
    const counts = this.#counts
    let seen = 0
    for (let i = 0; i < counts.length; i++) {
      seen += counts[i]
      if (seen >= rank) return this.#valueOf(this.#first + i)
    }
    return this.#high
  }

  /** The middle of a cell, as far as there are values; the last one has none. */
  #valueOf(cell: number): number {
    if (cell === CELLS - 1) return this.#high
    return Math.min(this.#high, Math.max(this.#low, cellBound(cell + 0.5)))
  }

  pack(): PackedMarks {
    const cells: number[] = []
    this.each((cell, n) => cells.push(cell, n))
    return [hundredth(Math.min(this.#low, this.#high)), hundredth(this.#high), cells]
  }

  /** In place of what is here. What is none, of another version perhaps, is left out. */
  put(packed: unknown): void {
    this.clear()
    if (!Array.isArray(packed)) return
    const [low, high, cells] = packed as unknown[]
    if (!isAmount(low) || !isAmount(high) || !Array.isArray(cells)) return
    for (let i = 0; i + 1 < cells.length && i < 2 * CELLS; i += 2) {
      const [cell, n] = [cells[i] as unknown, cells[i + 1] as unknown]
      if (isAmount(cell) && cell < CELLS && isAmount(n)) this.#add(Math.trunc(cell), n)
    }
    this.#low = low
    this.#high = high
  }
}

const isAmount = (value: unknown): value is number => typeof value === 'number' && value >= 0 && Number.isFinite(value)
const hundredth = (ms: number): number => Math.round(ms * 100) / 100

export function sumOfMarks(all: Iterable<Marks>): Marks {
  const sum = new Marks()
  for (const marks of all) sum.addAll(marks)
  return sum
}

/** Rows of the heatmap: two an octave, from 1 ms to a second; what is quicker or slower is in the first or last. */
const CELLS_A_ROW = CELLS_PER_OCTAVE / 2
const FIRST_ROW_CELL = CELLS_PER_OCTAVE
const ROWS = 21
export const HEAT_ROWS: readonly number[] = Array.from({ length: ROWS }, (_, row) =>
  row === ROWS - 1 ? 1e9 : Math.round(cellBound(FIRST_ROW_CELL + (row + 1) * CELLS_A_ROW) * 10) / 10,
)

/** Row, count, row, count, … of the rows that are not empty. */
export function heatOf(marks: Marks): number[] {
  const rows: number[] = []
  marks.each((cell, n) => {
    const row = Math.max(0, Math.min(ROWS - 1, Math.floor((cell - FIRST_ROW_CELL) / CELLS_A_ROW)))
    if (rows.length > 0 && rows[rows.length - 2] === row) rows[rows.length - 1] += n
    else rows.push(row, n)
  })
  return rows
}
