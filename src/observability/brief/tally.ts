/**
 * How often things happened, minute by minute over the last hour. At most 64 names are kept a minute: a new one takes
 * the place of the rarest and goes on from its count (space-saving, Metwally et al., 2005). So sums are exact, whatever
 * is frequent is there, and no count is too high by more than a 64th of the minute's sum.
 */

import { type Edited, Edits } from '../history/edits.ts'

const MINUTE_MS = 60_000
const MINUTES = 66
const MAX_NAMES = 64

interface Minute {
  n: number
  edit: number
  readonly counts: Map<string, number>
}

export class Tally {
  readonly #minutes: Minute[] = Array.from({ length: MINUTES }, () => ({ n: -1, edit: 0, counts: new Map() }))
  readonly #edits: Edits

  constructor(edits = new Edits()) {
    this.#edits = edits
  }

  add(atMs: number, name: string): void {
    const n = Math.floor(atMs / MINUTE_MS)
    const minute = this.#minutes[n % MINUTES]
    if (minute.n !== n) {
      minute.n = n
      minute.counts.clear()
    }
    minute.edit = this.#edits.next()
    const before = minute.counts.get(name)
    const inherited = before === undefined && minute.counts.size >= MAX_NAMES ? takeRarest(minute.counts) : 0
    minute.counts.set(name, (before ?? inherited) + 1)
  }

  /** As `countedSince`, of this one. */
  since(nowMs: number, fromMinutesAgo: number, toMinutesAgo = 0): ReturnType<typeof countedSince> {
    return countedSince([this], nowMs, fromMinutesAgo, toMinutesAgo)
  }

  /** Minutes that were changed after this edit: which one, then its names and counts. */
  editedAfter(edit: number): Array<Edited<PackedMinute>> {
    return this.#minutes
      .filter((minute) => minute.edit > edit)
      .map((minute) => ({ edit: minute.edit, pack: () => [minute.n, [...minute.counts]] }))
  }

  /** In place of what is here of this minute. */
  put([n, counts]: PackedMinute): void {
    if (!Number.isSafeInteger(n) || n < 0 || !Array.isArray(counts)) return
    const minute = this.#minutes[n % MINUTES]
    minute.n = n
    minute.counts.clear()
    for (const [name, count] of counts.slice(0, MAX_NAMES)) minute.counts.set(String(name), Number(count))
  }

  /** Of one minute, if anything is known of it. */
  counts(n: number): Iterable<readonly [string, number]> {
    const minute = this.#minutes[((n % MINUTES) + MINUTES) % MINUTES]
    return minute.n === n ? minute.counts : []
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

export type PackedMinute = readonly [minute: number, counts: ReadonlyArray<readonly [name: string, count: number]>]

/**
 * Over several nodes: of the minutes that began in this time, the present one included; the most frequent first.
 */
export function countedSince(
  tallies: readonly Tally[],
  nowMs: number,
  fromMinutesAgo: number,
  toMinutesAgo = 0,
): ReadonlyArray<readonly [name: string, count: number]> {
  const now = Math.floor(nowMs / MINUTE_MS)
  const sums = new Map<string, number>()
  for (let n = now - fromMinutesAgo; n <= now - toMinutesAgo; n++)
    for (const tally of tallies)
      for (const [name, count] of tally.counts(n)) sums.set(name, (sums.get(name) ?? 0) + count)
  return [...sums].sort(([, a], [, b]) => b - a)
}
