/** How often each magnitude came, in a ring of buckets: eight cells an octave, so a value read is at most 5 % off. */

const CELLS_PER_OCTAVE = 8
const OCTAVES = 20
export const CELLS = CELLS_PER_OCTAVE * OCTAVES
/** The first cell begins at half a millisecond; the last one holds everything from 9 minutes on. */
const LOWEST_EXPONENT = -1

export function cellOf(ms: number): number {
  const cell = Math.floor((Math.log2(ms) - LOWEST_EXPONENT) * CELLS_PER_OCTAVE)
  return cell > 0 ? Math.min(cell, CELLS - 1) : 0
}

/** Where a cell begins. */
export const cellBound = (cell: number): number => 2 ** (LOWEST_EXPONENT + cell / CELLS_PER_OCTAVE)

/** The value that this share (0 to 1) of all is at or below, between the bounds of its cell; null if there are none. */
export function quantileIn(cells: ArrayLike<number>, share: number): number | null {
  let count = 0
  for (let i = 0; i < CELLS; i++) count += cells[i]
  if (count === 0) return null
  const wanted = Math.max(1, count * share)
  let seen = 0
  for (let i = 0; i < CELLS; i++) {
    const here = cells[i]
    if (here > 0 && seen + here >= wanted) {
      const within = (wanted - seen) / here
      return cellBound(i) * 2 ** (within / CELLS_PER_OCTAVE)
    }
    seen += here
  }
  return cellBound(CELLS)
}

/** Rows of the heatmap: two an octave, from 1 ms to a second; what is quicker or slower is in the first or last. */
const CELLS_A_ROW = 4
const FIRST_ROW_CELL = 8
const ROWS = 21
export const HEAT_ROWS: readonly number[] = Array.from({ length: ROWS }, (_, row) =>
  row === ROWS - 1 ? 1e9 : Math.round(cellBound(FIRST_ROW_CELL + (row + 1) * CELLS_A_ROW) * 10) / 10,
)

/** Row, count, row, count, … of the rows that are not empty. */
export function heatOf(cells: ArrayLike<number>): number[] {
  const rows: number[] = []
  for (let i = 0; i < CELLS; i++) {
    if (cells[i] === 0) continue
    const row = Math.max(0, Math.min(ROWS - 1, Math.floor((i - FIRST_ROW_CELL) / CELLS_A_ROW)))
    if (rows.length > 0 && rows[rows.length - 2] === row) rows[rows.length - 1] += cells[i]
    else rows.push(row, cells[i])
  }
  return rows
}
