/** Cells of a heatmap: streams by row and bucket. Pure. */
import type { Chart } from '../../../src/core/live.ts'
import type { Group } from './time.ts'

/** Streams by row, of each group of buckets. */
export const cellsOf = (heat: Chart['heat'], groups: readonly Group[]): readonly ReadonlyMap<number, number>[] =>
  groups.map(({ from, to }) => {
    const rows = new Map<number, number>()
    for (let at = from; at < to; at++) {
      const cells = heat[at] ?? []
      for (let pair = 0; pair + 1 < cells.length; pair += 2)
        rows.set(cells[pair], (rows.get(cells[pair]) ?? 0) + cells[pair + 1])
    }
    return rows
  })

/** Where a value stands among the rows, as a row with its fraction: 2.5 is the middle of the third. */
export function rowOf(bounds: readonly number[], value: number): number {
  const at = bounds.findIndex((bound) => value <= bound)
  if (at === -1) return bounds.length
  const high = bounds[at]
  const low = at === 0 ? high * (high / (bounds[1] ?? high * 1.4)) : bounds[at - 1]
  return at + Math.max(0, Math.log(value / low) / Math.log(high / low))
}
