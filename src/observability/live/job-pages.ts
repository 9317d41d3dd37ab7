/** Jobs as pages are shown them: rows of lists, and one job whole. */
import type { Clock } from '../../core/clock.ts'
import { SluiceError, withoutWords } from '../../core/errors.ts'
import type { Job, JobId, JobState } from '../../core/job.ts'
import type { JobFilter, JobRow, JobTrace, Role } from '../../core/live.ts'
import type { Jobs } from '../../core/ports/jobs.ts'
import type { Trace, TraceBook } from '../traces/traces.ts'
import { rowOf, rowOfStored, traceOf, traceOfStored } from '../traces/view.ts'

/** Of the first frame, and of each that follows. */
const FIRST_ROWS = 50
const MORE_ROWS = 20
/** Rows whose last words are read, in one frame. */
const WORDS = 10
/** Rows that a page keeps up to date: more than it shows. */
const MOST_TOLD = 500
const WAITING: readonly JobState[] = ['queued', 'delayed', 'waiting']

export interface Asked {
  /** "/v1/responses" */
  readonly endpoint?: string
  /** The id that its client was given, where it isn't the job's: "resp_…". */
  readonly id?: string
}

export interface JobParts {
  readonly clock: Pick<Clock, 'wallMs'>
  readonly traces: TraceBook
  /** With its readers and curves, where those are at other nodes. */
  readonly whole?: (job: JobId) => Promise<Trace | null>
  readonly jobs: Pick<Jobs, 'get' | 'list' | 'places'>
  /** The last words of a job's text; null: there are none. */
  readonly words: (job: JobId) => Promise<string | null>
  /** How its client asked for it. Empty: nobody knows. */
  readonly asked: (job: Pick<Job, 'id' | 'kind' | 'dialect'>) => Asked
  /** May texts be shown without being asked for? */
  readonly showsText: () => boolean
}

/** What a page has been told of a list of jobs. */
export class ToldJobs {
  /** Jobs that came later are new to it. */
  readonly #since: number
  readonly #told = new Map<JobId, { readonly version: number; readonly state: JobState }>()

  constructor(since: number) {
    this.#since = since
  }

  /** Null: nothing is to be told. One that was told is told again whatever it has become: its row is there. */
  change({ job, version, state }: Trace, matches: () => boolean): 'state' | 'numbers' | null {
    const told = this.#told.get(job)
    if (told === undefined) return version > this.#since && matches() ? 'state' : null
    if (told.version === version) return null
    return told.state === state ? 'numbers' : 'state'
  }

  note({ job, version, state }: Trace): void {
    this.#told.delete(job)
    this.#told.set(job, { version, state })
    if (this.#told.size > MOST_TOLD) this.#told.delete(this.#told.keys().next().value!)
  }

  /** When it was told last, as an order; -1: never. */
  toldAt({ job }: Trace): number {
    return this.#told.get(job)?.version ?? -1
  }
}

export interface JobPages {
  /** The newest, newest first, where nothing was told yet; then what has changed since. `note` what is told. */
  rows(filter: JobFilter, told: ToldJobs | null, role: Role): Promise<ToldRows>
  /** 0: nothing is known of it here. */
  version(job: JobId): number
  /** Rejects with job_not_found. */
  trace(job: JobId, role: Role): Promise<JobTrace>
}

export interface ToldRows {
  readonly rows: readonly JobRow[]
  /** They were told. */
  note(): ToldJobs
}

export function createJobPages(parts: JobParts): JobPages {
  const { clock, traces, jobs, words, asked, showsText, whole = async (job) => traces.get(job) } = parts

  function matches(trace: Trace, { state, tenant, model, kind }: JobFilter, nowMs: number): boolean {
    if (state === 'waiting' ? !WAITING.includes(trace.state) : state !== undefined && trace.state !== state)
      return false
    if (tenant !== undefined && trace.tenant !== tenant) return false
    if (model !== undefined && trace.model !== model) return false
    if (kind === 'late') return traces.isLate(trace, nowMs)
    if (kind === 'retried') return (trace.attempts.at(-1)?.attempt ?? 1) > 1
    return kind !== 'cut' || trace.isCut
  }

  function newest(filter: JobFilter, nowMs: number): Trace[] {
    const found: Trace[] = []
    for (const trace of traces.newest()) {
      if (found.length === FIRST_ROWS) break
      if (matches(trace, filter, nowMs)) found.push(trace)
    }
    return found
  }

  /** Another state first, then who has waited longest to be told. */
  function changed(filter: JobFilter, told: ToldJobs, nowMs: number): Trace[] {
    const states: Trace[] = []
    const numbers: Trace[] = []
    for (const trace of traces.newest()) {
      const change = told.change(trace, () => matches(trace, filter, nowMs))
      if (change !== null) (change === 'state' ? states : numbers).push(trace)
    }
    const byTurn = (a: Trace, b: Trace): number => told.toldAt(a) - told.toldAt(b)
    return [...states.sort(byTurn), ...numbers.sort(byTurn)].slice(0, MORE_ROWS)
  }

  const mayRead = (role: Role): boolean => showsText() && role !== 'viewer'

  const wordsOf = async (job: JobId, role: Role): Promise<string | null> =>
    mayRead(role) ? words(job).catch(() => null) : null

  const storedErrorOf = ({ error }: Job, role: Role): JobRow['error'] =>
    error === undefined ? null : mayRead(role) ? error : withoutWords(error)

  /** Facts have no words. */
  const errorOf = ({ error }: Trace): JobRow['error'] =>
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
  async function older(
    { state, tenant, model, kind }: JobFilter,
    newest: readonly Trace[],
    role: Role,
  ): Promise<JobRow[]> {
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
      .map((job) => rowOfStored(job, { place: null, words: null, error: storedErrorOf(job, role) }))
  }

  return {
    async rows(filter, told, role) {
      const nowMs = clock.wallMs()
      const kept = told ?? new ToldJobs(traces.version)
      const found = told === null ? newest(filter, nowMs) : changed(filter, told, nowMs)
      const rows = await rowsOf(found, role, nowMs)
      return {
        rows: told === null ? [...rows, ...(await older(filter, found, role))] : rows,
        note() {
          for (const trace of found) kept.note(trace)
          return kept
        },
      }
    },
    version: (job) => traces.get(job)?.version ?? 0,
    async trace(job, role) {
      const [found, stored] = await Promise.all([whole(job), jobs.get(job)])
      const place = stored === null ? null : ((await jobs.places([job])).get(job) ?? null)
      if (found === null && stored === null) throw new SluiceError('job_not_found')
      const withAsked = (trace: JobTrace): JobTrace => ({
        ...trace,
        facts: [...(stored === null ? [] : askedFacts(asked(stored))), ...trace.facts],
      })
      if (found === null) return withAsked(traceOfStored(stored!, { place, error: storedErrorOf(stored!, role) }))
      const words = found.tokens > 0 ? await wordsOf(job, role) : null
      const error = (stored === null ? null : storedErrorOf(stored, role)) ?? errorOf(found)
      return withAsked(traceOf(found, { nowMs: clock.wallMs(), place, words, error, stored }))
    },
  }
}

function askedFacts({ endpoint, id }: Asked): JobTrace['facts'] {
  const named = [
    { name: 'Endpoint', value: endpoint },
    { name: 'Known as', value: id },
  ]
  return named.flatMap(({ name, value }) => (value === undefined ? [] : [{ name, value }]))
}
