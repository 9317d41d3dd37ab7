/**
 * A job's order number: the one in its id. Jobs that came from another engine have another, for there ids of several
 * processes don't sort by acceptance; theirs are in a table, which is empty in most folders.
 */
import type { DatabaseSync } from 'node:sqlite'
import { jobOrder } from '../../../core/ids.ts'
import type { JobId } from '../../../core/job.ts'

export interface Positions {
  /** Null where it is no job id. Of one that is gone: where it was, or about that. */
  of(id: JobId): number | null
  /** Inside the transaction that removed its job or its turn. */
  forget(order: number): void
}

export function positionsIn(db: DatabaseSync): Positions {
  if (db.prepare('SELECT 1 FROM moved LIMIT 1').get() === undefined) return { of: jobOrder, forget() {} }
  const get = db.prepare('SELECT ord FROM moved WHERE id_ord = ?')
  const forget = db.prepare(
    'DELETE FROM moved WHERE ord = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE ord = ?1) ' +
      'AND NOT EXISTS (SELECT 1 FROM turns WHERE ord = ?1)',
  )
  return {
    of(id) {
      const order = jobOrder(id)
      return order === null ? null : ((get.get(order) as { ord: number } | undefined)?.ord ?? order)
    },
    forget: (order) => void forget.run(order),
  }
}
