/** What readers have got of a log, by their cursors: what is missing between, and what came twice. */

/** Records after `from`, up to `to`. */
export interface Visit {
  readonly from: number
  readonly to: number
  /** It ended by itself: its reader has all that was sent. */
  readonly complete: boolean
}

export interface Coverage {
  /** Records that anybody has got. */
  readonly shown: number
  /** Records before the last one shown that nobody has got. */
  readonly lost: number
  /** Records that somebody who came back with a cursor got again. */
  readonly twice: number
}

type Piece = Omit<Visit, 'complete'>

/** One reader over its visits. */
interface Chain {
  /** The last one may be cut down, by the cursor of the next visit. */
  readonly pieces: Piece[]
  /** What it certainly has: up to here. */
  sure: number
  isComplete: boolean
}

/**
 * Visits in the order in which they began. One from the start is a reader of its own, who repeats nothing. A cursor is
 * its reader's word for what it has: what was sent after that to a connection that was cut has never arrived.
 */
export function coverageOf(visits: readonly Visit[]): Coverage {
  const chains: Chain[] = []
  let twice = 0
  for (const { from, to, complete } of visits) {
    const chain = from === 0 ? undefined : chainOf(chains, from)
    const sure = complete ? to : from
    if (chain === undefined) {
      chains.push({ pieces: [{ from, to }], sure, isComplete: complete })
      continue
    }
    twice += Math.max(0, Math.min(chain.sure, to) - from)
    const last = chain.pieces.pop()!
    // Unless it had all of that
    const end = chain.isComplete ? last.to : Math.min(last.to, Math.max(from, last.from))
    chain.pieces.push({ from: last.from, to: end }, { from, to })
    chain.sure = Math.max(chain.sure, sure)
    chain.isComplete = complete
  }
  const all = union(chains.flatMap(({ pieces }) => pieces)).filter(({ from, to }) => to > from)
  const shown = all.reduce((sum, { from, to }) => sum + to - from, 0)
  const [first] = all
  return { shown, lost: first === undefined ? 0 : all.at(-1)!.to - first.from - shown, twice }
}

/** Who came back with this cursor: most likely the last one that was cut after it. */
const chainOf = (chains: readonly Chain[], from: number): Chain | undefined =>
  chains.findLast(({ isComplete, pieces }) => !isComplete && pieces.at(-1)!.to >= from) ??
  chains.findLast(({ pieces }) => pieces.at(-1)!.to >= from) ??
  chains.at(-1)

function union(pieces: readonly Piece[]): Piece[] {
  const merged: Array<{ from: number; to: number }> = []
  for (const { from, to } of pieces.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to)
    else merged.push({ from, to })
  }
  return merged
}
