/**
 * Jobs newest first, by a filter: in the order of the commits that accepted them. Those that have not ended are the
 * coordinator's to list; the others are read from an index, a page at a time. One that ends meanwhile is in both, and
 * shown once, as it ended. A damaged one is left out.
 */
import { jobOrder } from '../../../core/ids.ts'
import { isTerminal, type Job, type JobId } from '../../../core/job.ts'
import type { JobFilter } from '../../../core/ports/jobs.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError } from '../client/errors.ts'
import type { Names } from '../client/names.ts'
import { endedJob } from '../protocol/rows.ts'
import { liveOf, type Rows, type Stored } from './rows.ts'

/** Rows that one step reads, at most. */
const ROWS_AT_ONCE = 250

interface Found {
  readonly seq: number
  readonly job: Job
}

/** Rejects with storage_unavailable. */
export async function listJobs(ground: Ground, rows: Rows, filter: JobFilter): Promise<readonly Job[]> {
  const limit = Math.max(1, Math.min(1_000, filter.limit))
  try {
    const before = filter.before === undefined ? null : await seqOf(ground, rows, filter.before)
    // First those that live: what ends before the others are read is found there
    const live = await listLive(ground, rows, filter, before, limit)
    await ground.scripts.run('jobs-file', [])
    const ended = await listEnded(ground, rows, filter, before, limit)
    const found = new Map([...live, ...ended].map((one) => [one.job.id, one]))
    return [...found.values()]
      .sort((a, b) => b.seq - a.seq)
      .slice(0, limit)
      .map(({ job }) => job)
  } catch (error) {
    throw storageError(error)
  }
}

/** Of a job that is gone: where it was, about. */
async function seqOf({ scripts, names }: Ground, rows: Rows, id: JobId): Promise<number> {
  if (jobOrder(id) === null) return 0
  const stored = await rows.stored(id)
  if (stored !== null && stored.kind !== 'damaged') return stored.row.seq
  const seq = Number(await scripts.run('jobs-before', [names.jobs(), id]))
  return seq === Infinity ? Number.MAX_SAFE_INTEGER : seq
}

async function listLive(
  { bus }: Ground,
  rows: Rows,
  { before: _before, limit: _limit, ...filter }: JobFilter,
  before: number | null,
  limit: number,
): Promise<readonly Found[]> {
  if (filter.states?.every(isTerminal)) return []
  const listed = await bus.ask({ type: 'list', filter, before, limit })
  const stored = await Promise.all(listed.map(({ id }) => rows.stored(id)))
  return listed.flatMap(({ seq, state, attempts }, i) => {
    const one = stored[i]
    return one?.kind === 'live' ? [{ seq, job: { ...liveOf(one, state), attempts } }] : endedOf(one, filter)
  })
}

async function listEnded(
  ground: Ground,
  rows: Rows,
  filter: JobFilter,
  before: number | null,
  limit: number,
): Promise<readonly Found[]> {
  if (filter.states !== undefined && !filter.states.some(isTerminal)) return []
  const index = indexFor(ground.names, filter)
  const found: Found[] = []
  for (let below = before === null ? '+inf' : `(${before}`; ; ) {
    const page = await ground.commands.client.zrange(
      index,
      below,
      '-inf',
      'BYSCORE',
      'REV',
      'LIMIT',
      0,
      ROWS_AT_ONCE,
      'WITHSCORES',
    )
    const ids = page.filter((_, i) => i % 2 === 0)
    for (const stored of await Promise.all(ids.map((id) => rows.stored(id)))) found.push(...endedOf(stored, filter))
    if (found.length >= limit || ids.length < ROWS_AT_ONCE) return found
    below = `(${page[page.length - 1]}`
  }
}

/** Jobs of a tenant's run have their own index, and failed ones among many good. */
function indexFor(names: Names, { tenant, run, states }: JobFilter): string {
  if (tenant !== undefined && run !== undefined) return names.runJobs(tenant, run)
  const isBad = states?.every((state) => isTerminal(state) && state !== 'done')
  return isBad ? names.bad(tenant) : names.jobs(tenant)
}

function endedOf(stored: Stored | null, filter: Omit<JobFilter, 'limit'>): readonly Found[] {
  if (stored?.kind !== 'ended') return []
  const { facts, seq, end } = stored.row
  return fitsFilter(facts, filter) && (filter.states === undefined || filter.states.includes(end.state))
    ? [{ seq, job: endedJob(stored.row) }]
    : []
}

/** All but its state. */
const fitsFilter = (
  { tenant, user, options, model, run }: Pick<Job, 'tenant' | 'user' | 'options' | 'model' | 'run'>,
  filter: Omit<JobFilter, 'limit'>,
): boolean =>
  (filter.tenant === undefined || tenant === filter.tenant) &&
  (filter.user === undefined || user === filter.user) &&
  (filter.lane === undefined || options.lane === filter.lane) &&
  (filter.conversation === undefined || options.conversation === filter.conversation) &&
  (filter.model === undefined || model === filter.model) &&
  (filter.run === undefined || run === filter.run)
