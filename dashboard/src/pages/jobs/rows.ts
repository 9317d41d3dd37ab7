/** The rows of the jobs' list: which are shown, which wait out of sight, what can be done to those that are chosen. */

import type { WireError } from '../../../../src/core/errors.ts'
import type { JobState } from '../../../../src/core/job.ts'
import type { JobFilter, JobRow } from '../../../../src/core/live.ts'
import type { Shape } from '../../parts/mark.tsx'

/** The words and shapes of states: jobs wait, run, are done. */
export const STATES: Readonly<Record<JobState, { readonly word: string; readonly shape: Shape }>> = {
  queued: { word: 'waits', shape: 'waits' },
  waiting: { word: 'waits', shape: 'waits' },
  delayed: { word: 'delayed', shape: 'waits' },
  leased: { word: 'runs', shape: 'runs' },
  done: { word: 'done', shape: 'well' },
  failed: { word: 'failed', shape: 'bad' },
  canceled: { word: 'canceled', shape: 'canceled' },
  expired: { word: 'expired', shape: 'warn' },
}

export const isWaiting = (state: JobState): boolean => STATES[state].shape === 'waits'
export const hasEnded = ({ state }: Pick<JobRow, 'state'>): boolean =>
  state === 'done' || state === 'failed' || state === 'canceled' || state === 'expired'
/** As `submit.again` has it: an answer that is there is not made again. */
export const canRunAgain = ({ state }: Pick<JobRow, 'state'>): boolean => state === 'failed' || state === 'expired'

const ID = /^(?:job|resp|msg|rs|fc|ctc)_([0-9a-hjkmnp-tv-z]{26})(?:_\d{1,9})?$/

/** The job of its id, or of a response, message or item of it, as its client knows them; null: it is none of these. */
export function jobIn(text: string): string | null {
  const match = ID.exec(text)
  return match === null ? null : `job_${match[1]}`
}

/** "job_01KB3…0061HX" → its last six, which is what people tell each other. */
export const shortId = (job: string): string => job.slice(-6)

/**
 * New rows are kept out of sight while somebody reads: nothing moves under pointer, focus or selection. `shown`: the
 * ids in sight, in their order; null: all are.
 */
export function held(
  rows: readonly JobRow[],
  shown: ReadonlySet<string> | null,
): { readonly rows: readonly JobRow[]; readonly fresh: number } {
  if (shown === null) return { rows, fresh: 0 }
  const first = rows.findIndex(({ job }) => shown.has(job))
  if (first <= 0) return { rows, fresh: 0 }
  return { rows: rows.slice(first), fresh: first }
}

/** A state that has several names on the wire is one for people. */
export const CHIPS = [
  { value: 'waiting', text: 'Waiting', states: ['queued', 'waiting', 'delayed'] },
  { value: 'leased', text: 'Running', states: ['leased'] },
  { value: 'done', text: 'Done', states: ['done'] },
  { value: 'failed', text: 'Failed', states: ['failed'] },
  { value: 'canceled', text: 'Canceled', states: ['canceled'] },
  { value: 'expired', text: 'Expired', states: ['expired'] },
] as const satisfies readonly { value: JobState; text: string; states: readonly JobState[] }[]

export const KINDS = [
  { value: 'late', text: 'Late', title: 'First token after the goal' },
  { value: 'retried', text: 'Retried', title: 'More than one attempt' },
  { value: 'cut', text: 'Cut', title: 'A reader’s connection was cut' },
] as const

/** Where rows leave the filter while they are in sight (a job that waited runs now), they go. */
export function matches(row: JobRow, { state, tenant, model, kind }: JobFilter, goalMs: number | null): boolean {
  const states: readonly JobState[] | undefined = CHIPS.find(({ value }) => value === state)?.states
  if (state !== undefined && !(states ?? [state]).includes(row.state)) return false
  if (tenant !== undefined && row.tenant !== tenant) return false
  if (model !== undefined && row.model !== model) return false
  if (kind === 'retried') return row.attempts > 1
  if (kind === 'cut') return row.isCut
  return kind !== 'late' || goalMs === null || row.ttftMs === null || row.ttftMs > goalMs
}

/** What the search finds: a job, a tenant, a model, an id of its request, its trace or its key. */
export function finds(row: JobRow, text: string): boolean {
  const wanted = text.toLowerCase()
  return [row.job, row.tenant, row.model, ...(row.ids ?? [])].some((name) => name.toLowerCase().includes(wanted))
}

/** A job as `GET /admin/jobs` shows it. */
export interface JobView {
  readonly id: string
  readonly state: JobState
  readonly tenant: string
  readonly model: string
  readonly created_at: number
  readonly attempts: number
  /** `position`: null while it waits for jobs that it comes after. */
  readonly queue: { readonly position: number | null; readonly waits_for_jobs?: number } | null
  readonly usage: { readonly completion_tokens: number; readonly estimated: boolean } | null
  readonly timing: {
    readonly queued_ms: number | null
    readonly turn_ms?: number
    readonly ttft_ms: number | null
    readonly total_ms: number | null
  } | null
  readonly error: WireError | null
}

/** As a row: of an old job no more is known than what is stored. */
export const rowOf = (view: JobView): JobRow => ({
  job: view.id,
  state: view.state,
  tenant: view.tenant,
  model: view.model,
  acceptedAtMs: view.created_at * 1_000,
  ttft: partsOf(view),
  ttftMs: ttftOf(view),
  totalMs: view.timing?.total_ms ?? null,
  attempts: view.attempts,
  tokens: view.usage?.completion_tokens ?? 0,
  nanoUsd: null,
  isEstimated: view.usage?.estimated ?? false,
  error: view.error,
  words: null,
  waitsFor: placeOf(view.queue),
  isCut: false,
})

function placeOf(queue: JobView['queue']): string | null {
  if (queue === null) return null
  return queue.position === null ? 'jobs that it comes after' : `${ordinal(queue.position)} in line`
}

/** From its own turn on, as in the live rows. */
const ttftOf = ({ timing }: JobView): number | null =>
  timing === null || timing.ttft_ms === null ? null : timing.ttft_ms - (timing.turn_ms ?? 0)

function partsOf(view: JobView): JobRow['ttft'] {
  const { queued_ms: queuedMs = null, turn_ms: turnMs = 0 } = view.timing ?? {}
  const ttftMs = ttftOf(view)
  if (ttftMs === null || queuedMs === null) return null
  const queue = Math.min(queuedMs - turnMs, ttftMs)
  return { queue, upstream: ttftMs - queue }
}

/** 1st, 2nd, 3rd, 4th, 11th, 21st */
export function ordinal(value: number): string {
  const of100 = value % 100
  const end = of100 > 10 && of100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][value % 10] ?? 'th')
  return `${value.toLocaleString('en')}${end}`
}

/** Newest first, each once; the live one wins. */
export function joined(live: readonly JobRow[], older: readonly JobRow[]): readonly JobRow[] {
  if (older.length === 0) return live
  const known = new Set(live.map(({ job }) => job))
  return [...live, ...older.filter(({ job }) => !known.has(job))]
}
