/** Ids of a stream's entries: "<ms>-<n>". */

/** The least id after this one. */
export function following(id: string): string {
  const [ms, n] = id.split('-')
  return `${ms}-${Number(n) + 1}`
}
