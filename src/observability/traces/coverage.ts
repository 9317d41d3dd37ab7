/** What readers have got of a log, by their cursors: what is missing between, and what came twice. */

/** Records after `from`, up to `to`. */
export interface Visit {
  readonly from: number
  readonly to: number
}

export interface Coverage {
  /** Records that anybody has got. */
  readonly shown: number
  /** Records before the last one shown that nobody has got. */
  readonly lost: number
  /** Records that somebody who came back with a cursor got again. */
  readonly twice: number
}

/** Visits in the order in which they began. One from the start is a reader of its own, who repeats nothing. */
export function coverageOf(visits: readonly Visit[]): Coverage {
  let covered: Visit[] = []
  let twice = 0
  let begin = Infinity
  for (const visit of visits) {
    if (visit.to <= visit.from) continue
    if (visit.from > 0) for (const before of covered) twice += overlap(visit, before)
    begin = Math.min(begin, visit.from)
    covered = union([...covered, visit])
  }
  const shown = covered.reduce((sum, { from, to }) => sum + to - from, 0)
  const end = covered.reduce((most, { to }) => Math.max(most, to), 0)
  return { shown, lost: shown === 0 ? 0 : end - begin - shown, twice }
}

const overlap = (a: Visit, b: Visit): number => Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from))

function union(visits: readonly Visit[]): Visit[] {
  const merged: Array<{ from: number; to: number }> = []
  for (const { from, to } of visits.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to)
    else merged.push({ from, to })
  }
  return merged
}
