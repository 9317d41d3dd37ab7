/** Quantiles and means of what was measured. */

/** Linear between the two nearest (type 7, as numpy's default). `sorted` ascending; null: there are none. */
export function quantile(sorted: readonly number[] | Float64Array, q: number): number | null {
  const { length } = sorted
  if (length === 0) return null
  const at = q * (length - 1)
  const below = Math.floor(at)
  const above = Math.min(length - 1, below + 1)
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below)
}

/** As `Math.max(...values)`, of any number of them: as arguments, some 120,000 are too many. */
export const greatest = (values: readonly number[]): number =>
  values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)

export const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length

/** Ascending, without nulls. */
export const ascending = (values: Iterable<number | null>): Float64Array =>
  Float64Array.from([...values].filter((value): value is number => value !== null)).sort()
