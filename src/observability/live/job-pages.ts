/** Jobs as pages are shown them: rows of lists, and one job whole. */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { JobId, JobState } from '../../core/job.ts'
import type { JobFilter, JobRow, JobTrace, Role } from '../../core/live.ts'
import type { Jobs } from '../../core/ports/jobs.ts'
import type { Trace, Traces } from '../traces/traces.ts'
import { rowOf, rowOfStored, traceOf, traceOfStored } from '../traces/view.ts'

/** Of the first frame, and of each that follows. */
const FIRST_ROWS = 50
const MORE_ROWS = 20
/** Rows whose last words are read, in one frame. */
const WORDS = 10
const WAITING: readonly JobState[] = ['queued', 'delayed', 'waiting']

export interface JobParts {
  readonly clock: Pick<Clock, 'wallMs'>
  readonly traces: Traces
  readonly jobs: Pick<Jobs, 'get' | 'list' | 'places'>
  /** The last words of a job's text; null: there are none. */
  readonly words: (job: JobId) => Promise<string | null>
  /** May texts be shown without being asked for? */
  readonly showsText: () => boolean
}

export interface JobPages {
  /** Those that have changed since a version, or the newest (`since` null); newest first. */
  rows(
    filter: JobFilter,
    since: number | null,
    role: Role,
  ): Promise<{ readonly rows: readonly JobRow[]; readonly version: number }>
  /** 0: nothing is known of it here. */
  version(job: JobId): number
  /** Rejects with job_not_found. */
  trace(job: JobId, role: Role): Promise<JobTrace>
}

export function createJobPages({ clock, traces, jobs, words, showsText }: JobParts): JobPages {
  function matches(trace: Trace, { state, tenant, model, kind }: JobFilter, nowMs: number): boolean {
    if (state === 'waiting' ? !WAITING.includes(trace.state) : state !== undefined && trace.state !== state)
      return false
    if (tenant !== undefined && trace.tenant !== tenant) return false
    if (model !== undefined && trace.model !== model) return false
    if (kind === 'late') return traces.isLate(trace, nowMs)
    if (kind === 'retried') return (trace.attempts.at(-1)?.attempt ?? 1) > 1
    return kind !== 'cut' || trace.isCut
  }

  async function wordsOf(job: JobId, role: Role): Promise<string | null> {
    return showsText() && role !== 'viewer' ? words(job).catch(() => null) : null
  }

  const errorOf = ({ error }: Trace): JobRow['error'] =>
    // Its provider's own words may quote the request
    error === null ? null : new SluiceError(error.code as SluiceError['code']).wire

  async function rowsOf(found: readonly Trace[], role: Role, nowMs: number): Promise<JobRow[]> {
    const waiting = found.filter(({ state }) => WAITING.includes(state)).slice(0, MORE_ROWS)
    const places = waiting.length === 0 ? new Map() : await jobs.places(waiting.map(({ job }) => job))
    return Promise.all(
      found.map(async (trace, i) =>
        rowOf(trace, {
          nowMs,
          place: places.get(trace.job) ?? null,
          words: i < WORDS && trace.tokens > 0 ? await wordsOf(trace.job, role) : null,
          error: errorOf(trace),
        }),
      ),
    )
  }

  /** Of before the start. */
  async function older({ state, tenant, model, kind }: JobFilter, newest: readonly Trace[]): Promise<JobRow[]> {
    const most = FIRST_ROWS - newest.length
    if (kind !== undefined || most <= 0) return []
    const states = state === 'waiting' ? WAITING : state === undefined ? undefined : [state]
    const found = await jobs.list({
      limit: FIRST_ROWS,
      ...(states !== undefined && { states }),
      ...(tenant !== undefined && { tenant }),
      ...(model !== undefined && { model }),
    })
    return found
      .filter(({ id }) => traces.get(id) === null)
      .slice(0, most)
      .map((job) => rowOfStored(job, null, null))
  }

  return {
    async rows(filter, since, role) {
      const nowMs = clock.wallMs()
      const { version } = traces
      if (since === version) return { rows: [], version }
      const most = since === null ? FIRST_ROWS : MORE_ROWS
      const found: Trace[] = []
      for (const trace of traces.newest()) {
        if (found.length === most) break
        if (trace.version > (since ?? 0) && matches(trace, filter, nowMs)) found.push(trace)
      }
      const rows = await rowsOf(found, role, nowMs)
      return { rows: since === null ? [...rows, ...(await older(filter, found))] : rows, version }
    },
    version: (job) => traces.get(job)?.version ?? 0,
    async trace(job, role) {
      const found = traces.get(job)
      const stored = await jobs.get(job)
      const place = stored === null ? null : ((await jobs.places([job])).get(job) ?? null)
      if (found === null && stored === null) throw new SluiceError('job_not_found')
      if (found === null) return traceOfStored(stored!, place)
      const words = found.tokens > 0 ? await wordsOf(job, role) : null
      const error = stored?.error ?? errorOf(found)
      return traceOf(found, { nowMs: clock.wallMs(), place, words, error, stored })
    },
  }
}
