/** What the last commits left in segments, by the jobs that have not ended: their text, and their last lease. */
import type { DatabaseSync } from 'node:sqlite'
import type { Bytes } from '../../../core/record.ts'
import { storedSegments } from './segments.ts'

export interface Leftover {
  /** Attempts noted when the job last went back in line. */
  readonly tried: number
  /** The last lease that a segment notes; 0 = none. */
  lease: number
  /** What is known of it. */
  begun: Bytes
  /** Segments before this are in parts already. */
  readonly held: number
  readonly pieces: Bytes[]
  records: number
}

/** Costs what is in segments, not what is stored. `last`: number of the last segment; 0: there is none. */
export function leftInSegments(
  db: DatabaseSync,
  damaged: (segment: number) => void,
): { readonly found: ReadonlyMap<number, Leftover>; readonly last: number } {
  const unfinished = db.prepare(
    'SELECT attempts AS tried, (SELECT segment FROM parts WHERE ord = u.ord ORDER BY n DESC LIMIT 1) AS held ' +
      'FROM unfinished u WHERE ord = ?',
  )
  const found = new Map<number, Leftover>()
  const ended = new Set<number>()
  const find = (order: number): Leftover | null => {
    if (ended.has(order)) return null
    const known = found.get(order)
    if (known !== undefined) return known
    const row = unfinished.get(order) as { tried: number; held: number | null } | undefined
    if (row === undefined) {
      ended.add(order)
      return null
    }
    const log: Leftover = { tried: row.tried, held: row.held ?? 0, lease: 0, begun: '', pieces: [], records: 0 }
    found.set(order, log)
    return log
  }
  let last = 0
  for (const { n, entries } of storedSegments(db, damaged)) {
    last = n
    for (const { order, lease, records, data } of entries) {
      const log = find(order)
      if (log === null) continue
      if (lease > 0) {
        log.lease = lease
        if (records === 0) log.begun = data
      }
      if (records === 0 || n < log.held) continue
      log.pieces.push(data)
      log.records += records
    }
  }
  return { found, last }
}

export const textOf = ({ pieces }: Leftover): Buffer => Buffer.from(pieces.join(''), 'latin1')
