/** The name that was probably meant, for unknown settings, flags, commands and members. */

/** No name of ours is longer. A comparison costs the product of both lengths, and the text may be anybody's. */
const MAX_CHARS = 64
const MAX_NAMES = 1_000

/** Null when nothing is near: more than a third of the letters would have to change. */
export function nearest(word: string, names: Iterable<string>): string | null {
  if (word.length > MAX_CHARS) return null
  let best: string | null = null
  let least = Infinity
  let compared = 0
  for (const name of names) {
    if (++compared > MAX_NAMES) break
    if (name.length > MAX_CHARS) continue
    const cost = distance(word.toLowerCase(), name.toLowerCase())
    if (cost < least) {
      least = cost
      best = name
    }
  }
  // Everything short is near to a single letter
  const most = Math.min(word.length - 1, Math.max(1, Math.floor(Math.max(word.length, best?.length ?? 0) / 3)))
  return least <= most ? best : null
}

/** " Did you mean …?", or nothing. */
export function didYouMean(word: string, names: Iterable<string>): string {
  const name = nearest(word, names)
  return name === null ? '' : ` Did you mean "${name}"?`
}

/** Edits between two words, where a swap of neighbors counts once (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      row[j] = Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1)
    }
    before = above
    above = row
  }
  return above[b.length]
}
