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
  /** Is there a job, or a turn, of another id's order, so that the job of this one must have another? */
  isTaken(order: number): boolean
  /** Inside the transaction that stores a job at an order that is not its id's. */
  put(order: number, ofId: number): void
}

const NEVER = (): never => {
  throw new Error('each job of this folder has the order of its id')
}

export function positionsIn(db: DatabaseSync): Positions {
  if (db.prepare('SELECT 1 FROM moved LIMIT 1').get() === undefined)
    return { of: jobOrder, forget() {}, isTaken: () => false, put: NEVER }
  const get = db.prepare('SELECT ord FROM moved WHERE id_ord = ?')
  const forget = db.prepare(
    'DELETE FROM moved WHERE ord = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE ord = ?1) ' +
      'AND NOT EXISTS (SELECT 1 FROM turns WHERE ord = ?1)',
  )
  const at = db.prepare('SELECT 1 FROM moved WHERE ord = ?')
  const put = db.prepare('INSERT INTO moved VALUES (?, ?)')
  return {
    isTaken: (order) => at.get(order) !== undefined,
    put: (order, ofId) => void put.run(order, ofId),
    of(id) {
      const order = jobOrder(id)
      return order === null ? null : ((get.get(order) as { ord: number } | undefined)?.ord ?? order)
    },
    forget: (order) => void forget.run(order),
  }
}
