/**
 * How much space ended jobs take, by tenant. Counted only when the whole file exceeds the budget, a few rows at a time,
 * and the slower the count, the more rarely.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import type { TenantId } from '../../../core/job.ts'

const ROWS_A_STEP = 256
/** Rows and indexes of a job, in addition to its texts. */
const ROW_BYTES = 512
/** At most one part in this many of the time is spent on counting. */
const COUNTING_SHARE = 50

/** Of a job `j` and its result `r`; 0 where it has not ended. */
export const ENDED_SIZE = `(CASE WHEN r.ord IS NULL THEN 0 ELSE
  ${ROW_BYTES} + octet_length(j.body) + octet_length(j.facts) + octet_length(r.facts) + octet_length(r.log) +
  (CASE WHEN r.parts = 0 THEN 0 ELSE
    ifnull((SELECT sum(octet_length(p.data)) FROM parts p WHERE p.ord = r.ord), 0) END) END)`

export class EndedBytes {
  readonly #clock: Clock
  readonly #rows: StatementSync
  #nextCountMono = 0

  constructor(db: DatabaseSync, clock: Clock) {
    this.#clock = clock
    this.#rows = db.prepare(`SELECT r.ord AS ord, j.tenant AS tenant, ${ENDED_SIZE} AS bytes
      FROM results r JOIN jobs j ON j.ord = r.ord WHERE r.ord > ? ORDER BY r.ord LIMIT ${ROWS_A_STEP}`)
  }

  /** Null: the last count is too recent. */
  async count(isClosed: () => boolean): Promise<Map<TenantId, number> | null> {
    const startMono = this.#clock.monoMs()
    if (startMono < this.#nextCountMono) return null
    const totals = new Map<TenantId, number>()
    for (let after = -1; !isClosed(); ) {
      const rows = this.#rows.all(after) as unknown as Array<{ ord: number; tenant: TenantId; bytes: number }>
      for (const { tenant, bytes } of rows) totals.set(tenant, (totals.get(tenant) ?? 0) + bytes)
      if (rows.length < ROWS_A_STEP) break
      after = rows[rows.length - 1].ord
      await new Promise<void>((next) => this.#clock.soon(next))
    }
    const now = this.#clock.monoMs()
    this.#nextCountMono = now + (now - startMono) * COUNTING_SHARE
    return totals
  }
}
