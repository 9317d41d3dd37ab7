/**
 * What a start finds. First, in one transaction, the logs of unfinished jobs go from segments into parts, so that no
 * old segment is left, and attempts without an end are noted. Then, once the ports are open, unfinished jobs go back in
 * line, in the order in which they were accepted and in steps that let the event loop turn.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Job, JobId } from '../../core/job.ts'
import type { Amounts } from '../../core/limits.ts'
import type { Died, FailedAt } from '../../core/ports/coordinator.ts'
import { type Bytes, kindOf } from '../../core/record.ts'
import { attemptOf, outputTokensIn } from '../../core/seen.ts'
import { type Calls, NO_CALLS } from '../shared/calls.ts'
import { decode, Extract } from '../shared/codec.ts'
import { joinKeyOf, scheduled } from '../shared/scheduled.ts'
import type { Age } from './disk/age.ts'
import { COLUMNS, type JobRow, NO_BODY, toJobOrSkip } from './jobs/jobs.ts'
import { LiveJob } from './jobs/live-job.ts'
import type { Epochs } from './log/epochs.ts'
import { leftInSegments, textOf } from './log/leftover.ts'
import { LiveLog } from './log/live-log.ts'
import type { Logs } from './log/log.ts'
import { begunOf, partsWriter } from './log/segments.ts'
import type { Parts } from './parts.ts'

/** As many of the last jobs are looked at for J4: a start must not read all of a day. */
const JOINABLE_ROWS = 20_000
/** Jobs that go back in line in one turn of the event loop: 2 ms or so. */
const ROWS_AT_ONCE = 100

/** The next start blames nobody for the attempts that it finds open. */
export const markDraining = (db: DatabaseSync): void =>
  void db.prepare("INSERT OR REPLACE INTO meta VALUES ('draining', '')").run()

// ---------------------------------------------------------------- before the ports open

/** An attempt that died with its process: kept until it is booked, as this process may die before. */
export interface Unbooked extends Calls {
  readonly attempt: number
  /** A stop was under way: that is nobody's crash. */
  readonly wasDraining: boolean
}

/** Costs what is in segments, not what is stored. Throws what SQLite throws. */
export function moveSegments(db: DatabaseSync, epochs: Epochs, age: Age, damaged: (segment: number) => void): void {
  db.exec('BEGIN IMMEDIATE')
  epochs.begin(db)
  const wasDraining = Number(db.prepare("DELETE FROM meta WHERE key = 'draining'").run().changes) > 0
  const { found, last: lastSegment } = leftInSegments(db, damaged)
  const write = partsWriter(db)
  const note = db.prepare(
    'UPDATE unfinished SET attempts = ?, not_before_age = 0, ttft = coalesce(?, ttft),' +
      ' ran = max(ran, ? - (SELECT accepted_age FROM jobs j WHERE j.ord = unfinished.ord)), unbooked = ? WHERE ord = ?',
  )
  for (const [order, log] of found) {
    const { records } = log
    const data = textOf(log)
    if (records > 0) write(null, { order, segment: lastSegment + 1, records, epoch: epochs.before(order), data })
    if (log.lease <= log.tried) continue
    const begun = begunOf(log.begun)
    const unbooked: Unbooked = { attempt: log.lease, ...(begun?.calls ?? NO_CALLS), wasDraining }
    // When it stopped is not known: all the time until now counts as the attempt's
    const ranMs = begun === null ? 0 : age.now() - begun.queuedMs
    note.run(log.lease, begun?.ttftMs ?? null, ranMs, JSON.stringify(unbooked), order)
  }
  if (lastSegment > 0) db.exec('DELETE FROM segments')
  db.exec('COMMIT')
}

// ---------------------------------------------------------------- after it

interface StoredRange {
  readonly n: number
  readonly records: number
  readonly epoch: number
}

type UnfinishedRow = JobRow & {
  readonly ord: number
  readonly bodyBytes: number
  readonly acceptedAge: number
  readonly tried: number
  readonly fails: number
  readonly deaths: number
  readonly crashes: number
  readonly notBeforeAge: number
  readonly ttft: number | null
  readonly ran: number
  readonly failedAt: string | null
  readonly reservation: string | null
  readonly unbooked: string | null
}

const UNFINISHED = `SELECT u.ord AS ord, length(j.body) AS bodyBytes, j.accepted_age AS acceptedAge, ${COLUMNS},
    u.attempts AS tried, u.fails AS fails, u.deaths AS deaths, u.crashes AS crashes, u.not_before_age AS notBeforeAge,
    u.ttft AS ttft, u.ran AS ran, u.failed_at AS failedAt, u.reservation AS reservation, u.unbooked AS unbooked
  FROM unfinished u JOIN jobs j ON j.ord = u.ord LEFT JOIN results r ON r.ord = u.ord
  WHERE u.ord > ? ORDER BY u.ord LIMIT ${ROWS_AT_ONCE}`

/** One pass over all unfinished jobs. Stops where `isStopped`. */
export async function restoreJobs(
  parts: Parts,
  age: Age,
  epochOf: (order: number) => number,
  isStopped: () => boolean,
  each: (job: Job) => void,
): Promise<void> {
  const { store, coordinator, clock, live: all, logs } = parts
  await parts.levels.restore(coordinator, (detail) => store.warn('row_damaged', detail))
  if (isStopped()) return
  const next = store.db.prepare(UNFINISHED)
  const storedParts = store.db.prepare('SELECT n, records, epoch FROM parts WHERE ord = ? ORDER BY n')
  const died: Died[] = []
  const canceled = parts.jobs.canceled()
  const toCancel: JobId[] = []
  for (let after = -1; ; ) {
    const rows = next.all(after) as unknown as UnfinishedRow[]
    const now = clock.monoMs()
    for (const row of rows) {
      const { id, ord, tried: attempts, fails, deaths, crashes, ttft: ttftMs, ran: ranMs } = row
      const job = toJobOrSkip(row, (detail) => store.warn('job_damaged', detail))
      if (job === null) continue
      const log = new LiveLog(id, ord, epochOf(ord))
      // What was never leased has no log
      if (attempts > 0)
        for (const { n, records, epoch } of storedParts.all(ord) as unknown as StoredRange[])
          log.parts.push({ n, last: log.partsEnd + records, epoch })
      log.taken = log.head = log.partsEnd
      const live = new LiveJob({ ...job, epoch: log.epoch, attempts }, log, NO_BODY, row.acceptedAge)
      live.isStored = true
      live.accepted.tell(null)
      all.add(live)
      logs.live.set(id, log)
      const what = scheduled(id, live.job, row.bodyBytes, age.mono(row.acceptedAge))
      // 0: at once. In a folder that was moved here, age 0 is after the acceptance
      const waitsMono = row.notBeforeAge === 0 ? -Infinity : age.mono(row.notBeforeAge)
      const notBeforeMono = Math.max(what.notBeforeMono, waitsMono)
      const tally = { attempts, fails, deaths, crashes, ranMs, ttftMs }
      // Its worker died with the last process
      coordinator.restore(
        { ...what, notBeforeMono },
        {
          tally,
          failedAt: placesOf(row.failedAt),
          // What it held from then on was held for its attempt, and is booked with that
          reservation: attempts === 0 ? parsed<Amounts>(row.reservation) : null,
          held: null,
        },
        now,
      )
      const unbooked = parsed<Unbooked>(row.unbooked)
      if (unbooked !== null) {
        live.isUnbooked = true
        const { attempt, ...how } = unbooked
        died.push({ id, ...how, outputTokens: streamedBy(attempt, log, logs) })
      }
      if (canceled.has(ord)) {
        live.canceling = Promise.resolve()
        toCancel.push(id)
      }
      each(live.job)
    }
    if (rows.length < ROWS_AT_ONCE) break
    after = rows[rows.length - 1].ord
    await new Promise<void>((turned) => clock.soon(turned))
    if (isStopped()) return
  }
  coordinator.died(died, clock.monoMs())
  for (const id of toCancel) coordinator.cancel(id, clock.monoMs())
}

/** Null where it is damaged, too. */
export function parsed<T extends object>(stored: string | null): T | null {
  try {
    const value: unknown = stored === null ? null : JSON.parse(stored)
    return typeof value === 'object' ? (value as T | null) : null
  } catch {
    return null
  }
}

/** Output tokens that this attempt, the last one, left in its log: from the end of the log to where it began. */
function streamedBy(attempt: number, { parts }: LiveLog, { segments }: Logs): number {
  let tail: readonly Bytes[] = []
  for (const { n } of parts.toReversed()) {
    try {
      const into = new Extract(0, Infinity, Infinity)
      decode(segments.part(n), [], into)
      const begins = into.records.findLastIndex((record) => kindOf(record) === 'attempt')
      tail = begins < 0 ? [...into.records, ...tail] : [...into.records.slice(begins), ...tail]
      if (begins >= 0) return attemptOf(tail[0])?.n === attempt ? outputTokensIn(tail) : 0
    } catch {
      return 0 // damaged, which its next attempt finds
    }
  }
  return 0
}

/** Damaged or unknown: it is tried anywhere. */
export function placesOf(stored: string | null): FailedAt {
  try {
    const places: unknown = stored === null ? [] : JSON.parse(stored)
    return Array.isArray(places) ? (places as FailedAt).filter((at) => typeof at?.deployment === 'string') : []
  } catch {
    return []
  }
}

/** J4 over a restart: jobs that ended well within the last `withinMs`, by join key. */
export function recentlyDone(
  db: DatabaseSync,
  age: Age,
  withinMs: number,
): Map<string, { readonly id: JobId; readonly untilMono: number }> {
  const rows = db
    .prepare(
      `SELECT ${COLUMNS}, r.ended_age AS endedAge
        FROM (SELECT * FROM results ORDER BY ord DESC LIMIT ${JOINABLE_ROWS}) r
        JOIN jobs j ON j.ord = r.ord
        WHERE r.state = 'done' AND r.ended_age > ? ORDER BY r.ord`,
    )
    .all(age.now() - withinMs) as unknown as Array<JobRow & { readonly endedAge: number }>
  return new Map(
    rows.flatMap((row) => {
      const job = toJobOrSkip(row, () => {})
      return job === null ? [] : [[joinKeyOf(job), { id: row.id, untilMono: age.mono(row.endedAge) + withinMs }]]
    }),
  )
}
