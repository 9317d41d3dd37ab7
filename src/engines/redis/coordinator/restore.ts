/**
 * What a takeover finds: jobs that run are adopted with their attempt, under a whole new lease; then what waits goes
 * back in line in its order of acceptance, in steps that let the event loop turn.
 */
import type { JobId } from '../../../core/job.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import { laneNames, scheduled } from '../../shared/scheduled.ts'
import { parse } from '../../shared/shape.ts'
import { type LiveRow, readLive, readRun } from '../protocol/rows.ts'
import { HeldJob, processOf } from './held.ts'
import { absorb } from './outcomes.ts'
import type { Term } from './parts.ts'

/** Rows that Redis hands over at once; jobs that go back in line in one turn of the event loop. */
const ROWS_AT_ONCE = 1_000

/** How many are damaged: jobs, and levels of the limits. */
export interface Damaged {
  readonly damaged: number
  readonly levels: number
}

/** Rejects with what Redis or its client throws. Stops where `isOver`. */
export async function restore(term: Term, isOver: () => boolean): Promise<Damaged> {
  const { connection, names, coordinator, fleet, clock, held, levels } = term
  const runs = new Map<JobId, string>()
  // A hash that changes while it is read can name a field twice
  const rows = new Map<JobId, LiveRow>()
  const used = new Map<string, string>()
  let damaged = 0
  // At once: a takeover is over after as few round trips as possible
  const [draining] = await Promise.all([
    connection.client.smembers(names.draining()),
    restorePauses(term),
    scan(term, names.levels(), isOver, (name, use) => used.set(name, use)),
    scan(term, names.run(), isOver, (id, row) => runs.set(id, row)),
    scan(term, names.live(), isOver, (id, stored) => {
      const row = readLive(stored)
      if (row === null || row.id !== id) damaged++
      else rows.set(id, row)
    }),
  ])
  const told = { levels: levels.open(used) }
  for (const process of draining) fleet.expect(process, clock.monoMs()).isDraining = true
  const found = Array.from(rows.values(), (row) => {
    term.taken(row.seq)
    const run = runs.get(row.id)
    return new HeldJob(row, run === undefined ? null : readRun(run))
  })
  const jobs = inOrder(found)
  const running = jobs.filter(({ attempt }) => attempt > 0)
  const all = [...running, ...jobs.filter(({ attempt }) => attempt === 0)]
  for (let at = 0; at < all.length && !isOver(); at += ROWS_AT_ONCE) {
    for (const job of all.slice(at, at + ROWS_AT_ONCE))
      try {
        putBack(term, job)
      } catch {
        // Of a row that is no job as this machine knows them; it must not end every term to come
        damaged++
        held.delete(job)
      }
    await new Promise<void>((turned) => clock.soon(turned))
  }
  if (isOver()) return { ...told, damaged }
  for (const { id, canceling } of all) if (canceling) coordinator.cancel(id, clock.monoMs())
  absorb(term)
  return { ...told, damaged }
}

/**
 * By seq. Numbers alone are sorted, each with its job's place in its last digits: a comparing function for 100,000 jobs
 * takes longer than all the rest.
 */
function inOrder(found: readonly HeldJob[]): readonly HeldJob[] {
  const first = found.reduce((least, { row }) => Math.min(least, row.seq), Infinity)
  const order = Float64Array.from(found, ({ row }, at) => (row.seq - first) * found.length + at).sort()
  return Array.from(order, (number) => found[number % found.length])
}

function putBack(term: Term, job: HeldJob): void {
  const { coordinator, held, attendance, fleet, time, clock } = term
  const { id, row, attempt, worker, claim } = job
  const now = clock.monoMs()
  const what = scheduled(id, row.facts, row.bodyBytes, time.mono(row.acceptedAtMs))
  const again = job.notBeforeAtMs === 0 ? -Infinity : time.mono(job.notBeforeAtMs)
  const isHeld = attempt > 0 && worker !== null && claim !== null
  if (!isHeld) held.giveBack(job)
  else {
    job.leasedMono = now
    // Until now it ran; from now on the machine counts
    const ranMs = job.tally.ranMs + Math.max(0, time.atMs(now) - (job.leasedAtMs ?? time.atMs(now)))
    job.tally = { ...job.tally, attempts: attempt, ranMs }
    job.leasedAtMs = Math.floor(time.atMs(now))
    fleet.expect(processOf(worker), now)
  }
  held.add(job)
  const { tally, failedAt } = job
  // It was given back with the first lease
  const reservation = job.attempts === 0 ? (row.reservation ?? null) : null
  const waiting = again > what.notBeforeMono ? { ...what, notBeforeMono: again } : what
  coordinator.restore(waiting, { tally, failedAt, reservation, held: isHeld ? { worker, claim } : null }, now)
  if (row.facts.options.onDisconnect === 'cancel') attendance.add(id, null)
}

async function restorePauses({ connection, names, pauses, coordinator, clock }: Term): Promise<void> {
  for (const stored of await connection.client.smembers(names.pauses())) {
    const selector = parse(stored) as Selector | null
    if (selector === null) continue
    pauses.set(stored, selector)
    for (const each of laneNames(selector)) coordinator.pause(each, clock.monoMs())
  }
}

/** A hash that changes meanwhile can name a field twice. */
async function scan(
  { connection }: Term,
  key: string,
  isOver: () => boolean,
  each: (field: string, value: string) => void,
): Promise<void> {
  const next = (cursor: string): Promise<[cursor: string, pairs: string[]]> =>
    connection.client.hscan(key, cursor, 'COUNT', ROWS_AT_ONCE)
  let page = await next('0')
  for (;;) {
    const [cursor, pairs] = page
    const isLast = cursor === '0' || isOver()
    // Redis reads the next page while this one is looked at
    const following = isLast ? null : next(cursor)
    for (let i = 0; i < pairs.length; i += 2) each(pairs[i], pairs[i + 1])
    if (following === null) return
    page = await following
  }
}
