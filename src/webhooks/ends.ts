/** How the job ended whose end an event awaits. */
import type { Clock } from '../core/clock.ts'
import type { JobId } from '../core/job.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { type EventBody, endOf, type Happening, isCutBy } from './event.ts'

export interface EndsParts {
  readonly jobs: Pick<Jobs, 'get'>
  readonly log: Pick<TokenLog, 'head' | 'read'>
  readonly clock: Pick<Clock, 'wallMs'>
}

/** A job that is not there may be about to come: its event is written first. */
const COMING_MS = 60_000
/** Of a log, its last records: they have the reason of its end. */
const LAST_RECORDS = 6
const LAST_BYTES = 262_144

/** Null: it goes on. */
export async function endAwaitedBy(event: EventBody, parts: EndsParts): Promise<Happening | 'gone' | null> {
  const { jobs, clock } = parts
  const job = event.job === undefined ? null : await jobs.get(event.job)
  if (job === null) return clock.wallMs() - event.createdAtMs < COMING_MS ? null : 'gone'
  const tells = event.tells ?? 'job'
  const ended = endOf(job, tells, false, clock.wallMs())
  if (ended?.type !== 'response.completed') return ended
  return endOf(job, tells, isCutBy(await lastOf(job.id, parts)), clock.wallMs())
}

async function lastOf(job: JobId, { log }: EndsParts): Promise<readonly string[]> {
  const head = await log.head(job)
  if (head === null) return []
  return (await log.read(job, Math.max(0, head.head - LAST_RECORDS), LAST_BYTES))?.records ?? []
}
