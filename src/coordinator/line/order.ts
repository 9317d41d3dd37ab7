/**
 * The first jobs of a row, in the order in which they would start if there were room for all: the fair order over
 * tenants, and within a tenant the better class, then the older. Those that can't start in their turn come last.
 */
import type { InLine, Notes, View } from '../scheduler/port.ts'

/** Jobs that are passed over in one row, because they can't start in their turn. */
const MOST_PASSED = 500
const CLASS = { high: 0, normal: 1, low: 2 } as const

interface Cursor {
  readonly crowd: InLine
  readonly tenant: Turn
  at: Notes | null
}

/** A tenant's counter, moved on as its jobs are taken. */
interface Turn {
  counter: number
}

export function firstOf(crowds: readonly InLine[], most: number, view: View): readonly Notes[] {
  const turns = new Map<string, Turn>()
  const late: Notes[] = []
  let passed = 0
  /** The first from there on that can start in its turn. */
  const readyFrom = (crowd: InLine, from: Notes | null): Notes | null => {
    let at = from
    for (; at !== null && !view.isReady(at); at = crowd.after(at)) {
      if (late.length < most) late.push(at)
      if (++passed > MOST_PASSED) return null
    }
    return at
  }
  const cursors: Cursor[] = []
  for (const crowd of crowds) {
    const { tenant } = crowd
    const turn = turns.get(tenant) ?? { counter: view.counterOf(tenant) }
    turns.set(tenant, turn)
    const at = readyFrom(crowd, crowd.first)
    if (at !== null) cursors.push({ crowd, tenant: turn, at })
  }
  const first: Notes[] = []
  while (first.length < most) {
    const cursor = next(cursors)
    if (cursor === null) break
    const notes = cursor.at!
    first.push(notes)
    const { tenant, promptTokens } = notes.job
    cursor.tenant.counter += view.counted(tenant, promptTokens, notes.bound - promptTokens)
    cursor.at = readyFrom(cursor.crowd, cursor.crowd.after(notes))
  }
  return first.concat(late.slice(0, most - first.length))
}

function next(cursors: readonly Cursor[]): Cursor | null {
  let best: Cursor | null = null
  for (const cursor of cursors) if (cursor.at !== null && (best === null || isBefore(cursor, best))) best = cursor
  return best
}

function isBefore(a: Cursor, b: Cursor): boolean {
  if (a.tenant !== b.tenant && a.tenant.counter !== b.tenant.counter) return a.tenant.counter < b.tenant.counter
  const [mine, its] = [CLASS[a.at!.job.priority], CLASS[b.at!.job.priority]]
  return mine < its || (mine === its && a.at!.job.acceptedMono < b.at!.job.acceptedMono)
}
