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

/** As many of the last jobs are looked at for J4: a start must not read all of a day. */
const JOINABLE_ROWS = 20_000

/** Counts starts after which logs may lack records that clients saw. Returns a job's epoch by its order. */
export function countBoots(db: DatabaseSync, bootId: string): (order: number) => number {
  const known = db.prepare("SELECT value FROM meta WHERE key = 'boot'").get() as { value: string } | undefined
  // Empty: the last process closed the store, all of it synced
  if (known !== undefined && known.value !== '' && known.value !== bootId)
    db.exec('INSERT INTO boots (ord) SELECT max(ord) + 1 FROM jobs HAVING max(ord) IS NOT NULL')
  db.prepare("INSERT OR REPLACE INTO meta VALUES ('boot', ?)").run(bootId)
  const boots = (db.prepare('SELECT ord FROM boots').all() as Array<{ ord: number }>).map((boot) => boot.ord)
  return (order) => 1 + boots.filter((boot) => order < boot).length
}

/** The next start finds a store that was closed. */
export const markClosed = (db: DatabaseSync): void =>
  void db.prepare("INSERT OR REPLACE INTO meta VALUES ('boot', '')").run()

/** The next start finds that this process was about to stop: what it cut off is no job's crash. */
export const markDraining = (db: DatabaseSync): void =>
  void db.prepare("INSERT OR REPLACE INTO meta VALUES ('draining', '')").run()

/** Was the last process told to stop? Asked once. */
const wasDraining = (db: DatabaseSync): boolean =>
  db.prepare("DELETE FROM meta WHERE key = 'draining'").run().changes > 0

type UnfinishedRow = JobRow & {
  readonly ord: number
  readonly bodyBytes: number
  readonly tried: number
  readonly crashes: number
  readonly notBeforeMono: number
}

const UNFINISHED = `SELECT u.ord AS ord, length(j.body) AS bodyBytes, ${COLUMNS}, u.attempts AS tried, u.crashes AS crashes, u.not_before AS notBeforeMono
  FROM unfinished u JOIN jobs j ON j.ord = u.ord LEFT JOIN results r ON r.ord = u.ord ORDER BY u.ord`

/** Restores all unfinished jobs into the scheduler. One transaction; throws what SQLite throws. */
export function recover(
  db: DatabaseSync,
  scheduler: Scheduler,
  clock: Clock,
  epochOf: (order: number) => number,
): readonly LiveJob[] {
  const recovered: LiveJob[] = []
  const [now, wallNow] = [clock.monoMs(), clock.wallMs()]
  db.exec('BEGIN IMMEDIATE')
  const cutOff = wasDraining(db)
  const rows = db.prepare(UNFINISHED).all() as unknown as UnfinishedRow[]
  const logs = new Map(rows.map((row) => [row.ord, new LiveLog(row.id, epochOf(row.ord))]))
  const leases = moveSegments(db, logs)
  const note = db.prepare('UPDATE unfinished SET attempts = ?, crashes = ?, not_before = 0 WHERE ord = ?')
  for (const row of rows) {
    const log = logs.get(row.ord)!
    const leased = leases.get(row.ord) ?? 0
    const wasLeased = leased > row.tried
    const attempts = Math.max(leased, row.tried)
    const crashed = wasLeased && !cutOff
    const crashes = row.crashes + (crashed ? 1 : 0)
    if (wasLeased) note.run(attempts, crashes, row.ord)
    const job: Job = { ...toJob(row), epoch: log.epoch, attempts }
    // Of the time that the job had, what passed by the wall clock is over
    const acceptedMono = now - Math.max(0, wallNow - job.acceptedAtMs)
    const what = scheduled(job.id, job, row.bodyBytes, acceptedMono)
    const notBeforeMono = wasLeased ? now : Math.max(what.notBeforeMono, now + row.notBeforeMono - wallNow)
    scheduler.restore(
      { ...what, notBeforeMono, deadlineMono: attempts > 0 ? Infinity : what.deadlineMono },
      { attempts, crashes: row.crashes, wasLeased: crashed },
      now,
    )
    const live = new LiveJob(job, log)
    live.crashes = crashes
    recovered.push(live)
  }
  db.exec('COMMIT')
  return recovered
}

/** Makes one part of what each unfinished log has in segments, and drops the segments. Returns the last lease noted, by order. */
function moveSegments(db: DatabaseSync, logs: ReadonlyMap<number, LiveLog>): ReadonlyMap<number, number> {
  const holds = new Map<number, number>()
  for (const part of db
    .prepare(
      'SELECT p.n AS n, p.ord AS ord, p.segment AS segment, p.records AS records FROM unfinished u CROSS JOIN parts p ON p.ord = u.ord ORDER BY p.n',
    )
    .all() as Array<{ n: number; ord: number; segment: number; records: number }>) {
    const log = logs.get(part.ord)
    if (log === undefined) continue
    log.parts.push({ n: part.n, last: log.partsEnd + part.records })
    holds.set(part.ord, part.segment)
  }
  const leases = new Map<number, number>()
  const found = new Map<number, { pieces: Bytes[]; records: number }>()
  let lastSegment = 0
  for (const row of db.prepare('SELECT n, data FROM segments ORDER BY n').iterate() as Iterable<{
    n: number
    data: Uint8Array
  }>) {
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
export function recentlyDone(
  db: DatabaseSync,
  clock: Clock,
  withinMs: number,
): Map<string, { readonly id: JobId; readonly untilMs: number }> {
  const wallNow = clock.wallMs()
  const rows = db
    .prepare(
      `SELECT ${COLUMNS} FROM (SELECT * FROM results ORDER BY ord DESC LIMIT ${JOINABLE_ROWS}) r JOIN jobs j ON j.ord = r.ord WHERE r.state = 'done' AND r.ended_at > ? ORDER BY r.ord`,
    )
    .all(Math.floor(wallNow - withinMs)) as unknown as JobRow[]
  return new Map(
    rows.map((row) => [
      joinKeyOf(toJob(row)),
      { id: row.id, untilMs: clock.monoMs() + withinMs - Math.max(0, wallNow - row.endedAt!) },
    ]),
  )
}
