/** Jobs newest first, by a filter: in the order of acceptance, which no clock changes. A damaged one is left out. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import { isTerminal, type Job } from '../../../core/job.ts'
import type { JobFilter } from '../../../core/ports/jobs.ts'
import type { Positions } from '../disk/positions.ts'
import { COLUMNS, type JobRow, toJobOrSkip } from './jobs.ts'
import type { LiveJobs } from './live-job.ts'

/** Rows examined in one turn of the event loop: a filter with few matches must not hold it. */
const ROWS_AT_ONCE = 1_000
const EVERYTHING = Number.MAX_SAFE_INTEGER

export async function listJobs(
  db: DatabaseSync,
  positions: Positions,
  clock: Clock,
  all: LiveJobs,
  filter: JobFilter,
  warn: (detail: string) => void,
): Promise<readonly Job[]> {
  const limit = Math.max(1, Math.min(1_000, filter.limit))
  const before = filter.before === undefined ? EVERYTHING : (positions.of(filter.before) ?? 0)
  if (filter.states !== undefined && !filter.states.some(isTerminal)) return liveOnly(clock, all, filter, before, limit)
  const scan = prepare(db, filter)
  const found: Job[] = []
  for (let from = before; ; ) {
    // The ROWS_AT_ONCE-th row from here bounds this turn's work, however few rows match
    const until = scan.boundary(from)
    const wanted = limit - found.length
    const rows = scan.rows(until, from, wanted)
    for (const row of rows) {
      const live = all.get(row.id)
      const job = live === undefined ? toJobOrSkip(row, warn) : all.show(live)
      if (job !== null && fits(job, filter) && isIn(job, filter)) found.push(job)
    }
    if (found.length >= limit || (until === 0 && rows.length < wanted)) return found
    from = rows.length < wanted ? until : positions.of(rows[rows.length - 1].id)!
    await new Promise<void>((next) => clock.soon(next))
  }
}

/** Live jobs are kept in the order in which they were accepted. */
async function liveOnly(
  clock: Clock,
  all: LiveJobs,
  filter: JobFilter,
  before: number,
  limit: number,
): Promise<readonly Job[]> {
  const found: Job[] = []
  const jobs = [...all.values()]
  for (let i = jobs.length - 1, looked = 0; i >= 0; i--) {
    if (jobs[i].log.order >= before || !fits(jobs[i].job, filter)) continue
    const job = all.show(jobs[i])
    if (isIn(job, filter) && found.push(job) >= limit) break
    if (++looked % ROWS_AT_ONCE === 0) await new Promise<void>((next) => clock.soon(next))
  }
  return found
}

const isIn = (job: Job, filter: JobFilter): boolean => filter.states === undefined || filter.states.includes(job.state)

const fits = (job: Job, filter: JobFilter): boolean =>
  (filter.tenant === undefined || job.tenant === filter.tenant) &&
  (filter.user === undefined || job.user === filter.user) &&
  (filter.lane === undefined || job.options.lane === filter.lane) &&
  (filter.conversation === undefined || job.options.conversation === filter.conversation) &&
  (filter.model === undefined || job.model === filter.model) &&
  (filter.run === undefined || job.run === filter.run)

interface Scan {
  /** Where the rows of one turn end; 0 = at the beginning of time. */
  boundary(before: number): number
  rows(from: number, before: number, limit: number): readonly JobRow[]
}

/** Jobs of a tenant's run have their own index, and failed ones among many good; others: by tenant, or in order. */
function prepare(db: DatabaseSync, filter: JobFilter): Scan {
  const { tenant, run } = filter
  if (tenant !== undefined && run !== undefined) return ofRun(db, tenant, run)
  const wheres: string[] = []
  const values: string[] = []
  const where = (sql: string, value: string | undefined): void => {
    if (value === undefined) return
    wheres.push(sql)
    values.push(value)
  }
  where('j.tenant = ?', filter.tenant)
  where('j.lane = ?', filter.lane)
  where('j.conversation = ?', filter.conversation)
  where('j.model = ?', filter.model)
  const ended = filter.states?.filter(isTerminal)
  const bad = ended !== undefined && ended.length === filter.states?.length && !ended.includes('done')
  const tables = bad
    ? 'results r INDEXED BY results_bad CROSS JOIN jobs j ON j.ord = r.ord'
    : 'jobs j LEFT JOIN results r ON r.ord = j.ord'
  if (ended !== undefined)
    wheres.push(`(r.state IN (${ended.map((state) => `'${state}'`).join(', ')})${bad ? '' : ' OR r.state IS NULL'})`)
  if (bad) wheres.push("r.state <> 'done'")
  const key = bad ? 'r.ord' : 'j.ord'
  const and = wheres.length === 0 ? '' : ` AND ${wheres.join(' AND ')}`
  const rows: StatementSync = db.prepare(
    `SELECT ${COLUMNS} FROM ${tables} WHERE ${key} >= ? AND ${key} < ?${and} ORDER BY ${key} DESC LIMIT ?`,
  )
  const boundary: StatementSync = bad
    ? db.prepare(
        `SELECT ord FROM results INDEXED BY results_bad WHERE state <> 'done' AND ord < ? ORDER BY ord DESC ` +
          `LIMIT 1 OFFSET ${ROWS_AT_ONCE}`,
      )
    : filter.tenant === undefined
      ? db.prepare(`SELECT ord FROM jobs WHERE ord < ? ORDER BY ord DESC LIMIT 1 OFFSET ${ROWS_AT_ONCE}`)
      : db.prepare(
          `SELECT ord FROM jobs WHERE tenant = ?2 AND ord < ?1 ORDER BY ord DESC LIMIT 1 OFFSET ${ROWS_AT_ONCE}`,
        )
  return {
    boundary: (before) =>
      (
        (!bad && filter.tenant !== undefined ? boundary.get(before, filter.tenant) : boundary.get(before)) as
          | { ord: number }
          | undefined
      )?.ord ?? 0,
    rows: (from, before, limit) => rows.all(from, before, ...values, limit) as unknown as JobRow[],
  }
}

/** What else is asked of them is looked at where they are. */
function ofRun(db: DatabaseSync, tenant: string, run: string): Scan {
  const boundary = db.prepare(
    `SELECT ord FROM run_jobs WHERE tenant = ? AND run = ? AND ord < ?
      ORDER BY ord DESC LIMIT 1 OFFSET ${ROWS_AT_ONCE}`,
  )
  const rows = db.prepare(
    `SELECT ${COLUMNS} FROM run_jobs q CROSS JOIN jobs j ON j.ord = q.ord LEFT JOIN results r ON r.ord = j.ord
      WHERE q.tenant = ? AND q.run = ? AND q.ord >= ? AND q.ord < ? ORDER BY q.ord DESC LIMIT ?`,
  )
  return {
    boundary: (before) => (boundary.get(tenant, run, before) as { ord: number } | undefined)?.ord ?? 0,
    rows: (from, before, limit) => rows.all(tenant, run, from, before, limit) as unknown as JobRow[],
  }
}
