/** The name that was probably meant: for unknown settings, flags, commands and members. */

/** Null when nothing is near: more than a third of the letters would have to change. */
export function nearest(word: string, names: Iterable<string>): string | null {
  let best: string | null = null
  let least = Infinity
  for (const name of names) {
    const cost = distance(word.toLowerCase(), name.toLowerCase())
    if (cost < least) {
      least = cost
      best = name
    }
  }
  return best !== null && least <= Math.max(1, Math.floor(Math.max(word.length, best.length) / 3)) ? best : null
}

/** " Did you mean …?", or nothing. */
export function didYouMean(word: string, names: Iterable<string>): string {
  const name = nearest(word, names)
  return name === null ? '' : ` Did you mean "${name}"?`
}

/** Edits between two words, where two neighbours that changed places count once (optimal string alignment). */
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
