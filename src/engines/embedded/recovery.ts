/**
 * What a start finds: jobs without a result go back in line, in the order they were accepted; their logs go from segments into
 * parts, so that no old segment is left; an attempt without its end was running when the process died.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../core/clock.ts'
import type { Job, JobId } from '../../core/job.ts'
import type { Scheduler } from '../../core/ports.ts'
import type { Bytes } from '../../core/record.ts'
import { COLUMNS, type JobRow, toJob } from './jobs.ts'
import { LiveJob } from './live-job.ts'
import { LiveLog } from './live-log.ts'
import { joinKeyOf, scheduled } from './scheduled.ts'
import { entries, latin1 } from './segments.ts'

/** Jobs accepted longer ago are not looked at for J4: SDKs give up after ten minutes. */
const JOINABLE_ACCEPTED_MS = 11 * 60_000
const ORDERS_PER_MS = 2048

/** Counts starts after which logs may lack records that clients saw. Returns a job's epoch by its order. */
export function countBoots(db: DatabaseSync, bootId: string): (order: number) => number {
  const known = db.prepare("SELECT value FROM meta WHERE key = 'boot'").get() as { value: string } | undefined
  // Empty: the last process closed the store, all of it synced
  if (known !== undefined && known.value !== '' && known.value !== bootId) db.exec('INSERT INTO boots (ord) SELECT max(ord) + 1 FROM jobs HAVING max(ord) IS NOT NULL')
  db.prepare("INSERT OR REPLACE INTO meta VALUES ('boot', ?)").run(bootId)
  const boots = (db.prepare('SELECT ord FROM boots').all() as Array<{ ord: number }>).map((boot) => boot.ord)
  return (order) => 1 + boots.filter((boot) => order < boot).length
}

/** The next start finds a store that was closed. */
export const markClosed = (db: DatabaseSync): void => void db.prepare("INSERT OR REPLACE INTO meta VALUES ('boot', '')").run()

interface Progress {
  readonly attempts: number
  readonly crashes: number
  readonly notBefore: number
}

type UnfinishedRow = JobRow & {
  readonly ord: number
  readonly bodyBytes: number
  readonly pAttempts: number | null
  readonly pCrashes: number | null
  readonly pNotBefore: number | null
}

const UNFINISHED = `SELECT j.ord AS ord, length(j.body) AS bodyBytes, ${COLUMNS}, p.attempts AS pAttempts, p.crashes AS pCrashes, p.not_before AS pNotBefore
  FROM jobs j LEFT JOIN results r ON r.ord = j.ord LEFT JOIN progress p ON p.ord = j.ord WHERE r.ord IS NULL ORDER BY j.ord`

/** Restores all unfinished jobs into the scheduler. One transaction; throws what SQLite throws. */
export function recover(db: DatabaseSync, scheduler: Scheduler, clock: Clock, epochOf: (order: number) => number): readonly LiveJob[] {
  const recovered: LiveJob[] = []
  const [now, wallNow] = [clock.monoMs(), clock.wallMs()]
  db.exec('BEGIN IMMEDIATE')
  const rows = db.prepare(UNFINISHED).all() as unknown as UnfinishedRow[]
  const logs = new Map(rows.map((row) => [row.ord, new LiveLog(row.id, epochOf(row.ord))]))
  const leases = moveSegments(db, logs)
  const note = db.prepare('INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)')
  for (const row of rows) {
    const log = logs.get(row.ord)!
    const progress: Progress = { attempts: row.pAttempts ?? 0, crashes: row.pCrashes ?? 0, notBefore: row.pNotBefore ?? 0 }
    const leased = leases.get(row.ord) ?? 0
    const wasLeased = leased > progress.attempts
    const attempts = Math.max(leased, progress.attempts)
    const crashes = progress.crashes + (wasLeased ? 1 : 0)
    if (wasLeased) note.run(row.ord, attempts, crashes, 0)
    const job: Job = { ...toJob(row), epoch: log.epoch, attempts }
    // Of the time that the job had, what passed by the wall clock is over
    const acceptedAt = now - Math.max(0, wallNow - job.acceptedAtMs)
    const what = scheduled(job.id, job, row.bodyBytes, acceptedAt)
    const notBefore = wasLeased ? now : Math.max(what.notBefore, now + progress.notBefore - wallNow)
    scheduler.restore({ ...what, notBefore, deadline: attempts > 0 ? Infinity : what.deadline }, { attempts, crashes: progress.crashes, wasLeased }, now)
    const live = new LiveJob(job, log)
    live.crashes = crashes
    live.noted = attempts > 0
    recovered.push(live)
  }
  db.exec('COMMIT')
  return recovered
}

/** Makes one part of what each unfinished log has in segments, and drops the segments. Returns the last lease noted, by order. */
function moveSegments(db: DatabaseSync, logs: ReadonlyMap<number, LiveLog>): ReadonlyMap<number, number> {
  const holds = new Map<number, number>()
  for (const part of db.prepare('SELECT n, ord, segment, records FROM parts ORDER BY n').all() as Array<{ n: number; ord: number; segment: number; records: number }>) {
    const log = logs.get(part.ord)
    if (log === undefined) continue
    log.parts.push({ n: part.n, last: log.partsEnd + part.records })
    holds.set(part.ord, part.segment)
  }
  const leases = new Map<number, number>()
  const found = new Map<number, { pieces: Bytes[]; records: number }>()
  let lastSegment = 0
  for (const row of db.prepare('SELECT n, data FROM segments ORDER BY n').iterate() as Iterable<{ n: number; data: Uint8Array }>) {
    lastSegment = row.n
    for (const { order, lease, records, data } of entries(latin1(row.data))) {
      if (!logs.has(order)) continue
      if (lease > 0) leases.set(order, lease)
      if (records === 0 || row.n < (holds.get(order) ?? 0)) continue
      const log = found.get(order) ?? { pieces: [], records: 0 }
      found.set(order, log)
      log.pieces.push(data)
      log.records += records
    }
  }
  const insert = db.prepare('INSERT INTO parts (ord, segment, records, data) VALUES (?, ?, ?, ?)')
  for (const [order, { pieces, records }] of found) {
    const log = logs.get(order)!
    const { lastInsertRowid } = insert.run(order, lastSegment + 1, records, Buffer.from(pieces.join(''), 'latin1'))
    log.parts.push({ n: Number(lastInsertRowid), last: log.partsEnd + records })
  }
  for (const log of logs.values()) log.taken = log.head = log.partsEnd
  if (lastSegment > 0) db.exec('DELETE FROM segments')
  return leases
}

/** J4 over a restart: jobs that ended well within the last `withinMs`, by join key. */
export function recentlyDone(db: DatabaseSync, clock: Clock, withinMs: number): Map<string, { readonly id: JobId; readonly untilMs: number }> {
  const wallNow = clock.wallMs()
  const rows = db
    .prepare(`SELECT ${COLUMNS} FROM results r JOIN jobs j ON j.ord = r.ord WHERE r.ord > ? AND r.state = 'done' AND r.ended_at > ? ORDER BY r.ord`)
    .all(Math.floor(wallNow - JOINABLE_ACCEPTED_MS) * ORDERS_PER_MS, Math.floor(wallNow - withinMs)) as unknown as JobRow[]
  return new Map(rows.map((row) => [joinKeyOf(toJob(row)), { id: row.id, untilMs: clock.monoMs() + withinMs - Math.max(0, wallNow - row.endedAt!) }]))
}
