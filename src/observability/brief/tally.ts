/**
 * How often things happened, minute by minute over the last hour. At most 64 names are kept a minute: a new one takes
 * the place of the rarest and goes on from its count (space-saving, Metwally et al., 2005). So sums are exact, whatever
 * is frequent is there, and no count is too high by more than a 64th of the minute's sum.
 */

const MINUTE_MS = 60_000
const MINUTES = 66
const MAX_NAMES = 64

interface Minute {
  n: number
  readonly counts: Map<string, number>
}

export class Tally {
  readonly #minutes: Minute[] = Array.from({ length: MINUTES }, () => ({ n: -1, counts: new Map() }))

  add(atMs: number, name: string): void {
    const n = Math.floor(atMs / MINUTE_MS)
    const minute = this.#minutes[n % MINUTES]
    if (minute.n !== n) {
      minute.n = n
      minute.counts.clear()
    }
    const before = minute.counts.get(name)
    const inherited = before === undefined && minute.counts.size >= MAX_NAMES ? takeRarest(minute.counts) : 0
    minute.counts.set(name, (before ?? inherited) + 1)
  }

  /** Of the minutes that began in this time, the present one included; the most frequent first. */
  since(
    nowMs: number,
    fromMinutesAgo: number,
    toMinutesAgo = 0,
  ): ReadonlyArray<readonly [name: string, count: number]> {
    const now = Math.floor(nowMs / MINUTE_MS)
    const sums = new Map<string, number>()
    for (let n = now - fromMinutesAgo; n <= now - toMinutesAgo; n++) {
      const minute = this.#minutes[((n % MINUTES) + MINUTES) % MINUTES]
      if (minute.n !== n) continue
      for (const [name, count] of minute.counts) sums.set(name, (sums.get(name) ?? 0) + count)
    }
    return [...sums].sort(([, a], [, b]) => b - a)
  }
}

function takeRarest(counts: Map<string, number>): number {
  let [rarest, fewest] = ['', Infinity]
  for (const [name, count] of counts)
    if (count < fewest) {
      rarest = name
      fewest = count
    }
  counts.delete(rarest)
  return fewest
}
