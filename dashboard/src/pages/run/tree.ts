/** The jobs of a run as rows of a tree, all on one axis: ms since its first job was accepted. */
import type { JobState } from '../../../../src/core/job.ts'
import type { Span } from '../../../../src/core/live.ts'
import type { Shape } from '../../parts/mark.tsx'
import { type Axis, ticksOf } from '../job/axis.ts'
import { hasEnded, isWaiting } from '../jobs/rows.ts'

/** As `GET /admin/runs/…` tells it. */
export interface RunJob {
  readonly id: string
  readonly state: JobState
  readonly model: string
  readonly metadata: Readonly<Record<string, string>>
  readonly parent: string | null
  readonly after: readonly string[]
  readonly attempts: number
  readonly accepted_at_ms: number
  readonly ended_at_ms: number | null
  /** Since it was accepted, ms. */
  readonly queued_ms: number | null
  readonly ttft_ms: number | null
  readonly total_ms: number | null
  readonly prompt_tokens: number | null
  readonly completion_tokens: number | null
  /** By the dearest price. */
  readonly usd_at_most: number | null
  readonly error: string | null
}

export interface RunView {
  readonly id: string
  readonly state: 'running' | 'idle' | 'canceled'
  readonly created_at: number
  readonly canceled_at: number | null
  readonly budget: Readonly<Record<'tokens' | 'usd' | 'steps' | 'depth', number | null>>
  readonly loop_guard: boolean
  readonly metadata: Readonly<Record<string, string>>
  readonly totals: {
    readonly jobs: number
    readonly states: Readonly<Partial<Record<JobState, number>>>
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly total_tokens: number
    readonly usd: number
    readonly steps: number
    readonly depth: number
    readonly is_partial: boolean
  }
  readonly held: Readonly<Record<'tokens' | 'usd' | 'steps', number>>
  readonly jobs: readonly RunJob[]
  readonly has_more: boolean
}

export const RUN_STATES: Readonly<Record<RunView['state'], readonly [word: string, shape: Shape]>> = {
  running: ['runs', 'runs'],
  idle: ['idle', 'none'],
  canceled: ['canceled', 'canceled'],
}

export interface TreeRow {
  readonly job: RunJob
  /** 0: it stems from none of these. */
  readonly level: number
}

/** What a person calls it: by the metadata that agents give their steps, else whatever comes first there. */
export function nameOf({ metadata }: Pick<RunJob, 'metadata'>): string | null {
  const name = ['name', 'step', 'agent', 'role', 'task', 'title'].find((label) => metadata[label])
  const [value] = name === undefined ? Object.values(metadata) : [metadata[name]]
  return value || null
}

/** Each job under its parent, and those of one parent by age. `jobs`: the oldest first. */
export function treeOf(jobs: readonly RunJob[]): readonly TreeRow[] {
  const known = new Set(jobs.map(({ id }) => id))
  const children = new Map<string | null, RunJob[]>()
  for (const job of jobs) {
    // A parent is older than its jobs: nothing else is one
    const parent = job.parent !== null && job.parent < job.id && known.has(job.parent) ? job.parent : null
    const others = children.get(parent)
    if (others === undefined) children.set(parent, [job])
    else others.push(job)
  }
  const rows: TreeRow[] = []
  const left: TreeRow[] = []
  const add = (parent: string | null, level: number): void => {
    for (const job of (children.get(parent) ?? []).toReversed()) left.push({ job, level })
  }
  add(null, 0)
  for (let row = left.pop(); row !== undefined; row = left.pop()) {
    rows.push(row)
    add(row.job.id, row.level + 1)
  }
  return rows
}

/** Where its time went, ms since `startMs`. What goes on has no end. */
export function spansOf(job: RunJob, startMs: number): readonly Span[] {
  const at = job.accepted_at_ms - startMs
  const { queued_ms: queuedMs, ttft_ms: ttftMs, total_ms: totalMs, ended_at_ms: endedAtMs } = job
  if (isWaiting(job.state)) return [{ part: 'queue', fromMs: at, toMs: null }]
  // Its parts are told when it has ended
  if (!hasEnded(job)) return [{ part: 'unknown', fromMs: at, toMs: null }]
  if (totalMs === null || queuedMs === null) {
    // It never began
    return endedAtMs === null ? [] : [{ part: 'queue', fromMs: at, toMs: endedAtMs - startMs }]
  }
  const queue = Math.min(queuedMs, ttftMs ?? totalMs)
  const spans: readonly Span[] = [
    { part: 'queue', fromMs: at, toMs: at + queue },
    { part: 'upstream', fromMs: at + queue, toMs: at + (ttftMs ?? totalMs) },
    { part: 'tokens', fromMs: at + (ttftMs ?? totalMs), toMs: at + totalMs },
  ]
  return spans.filter(({ fromMs, toMs }) => toMs !== null && toMs > fromMs)
}

/** Through all jobs; what goes on ends now. */
export function runAxis(jobs: readonly RunJob[], nowMs: number): Axis & { readonly startMs: number } {
  const startMs = jobs.reduce((least, { accepted_at_ms: at }) => Math.min(least, at), Infinity)
  const endMs = jobs.reduce((most, job) => {
    const { accepted_at_ms: at, total_ms: totalMs } = job
    return Math.max(most, (hasEnded(job) ? Math.max(job.ended_at_ms ?? 0, at + (totalMs ?? 0)) : nowMs) - startMs)
  }, 1)
  return { startMs, endMs, ticks: ticksOf(endMs) }
}

/** "Runs: 5 of 12 jobs have ended." */
export function tellRun({ state, totals }: Pick<RunView, 'state' | 'totals'>): string {
  const { jobs, states, steps } = totals
  const of = (...names: readonly JobState[]): number => names.reduce((sum, name) => sum + (states[name] ?? 0), 0)
  const ended = of('done', 'failed', 'canceled', 'expired')
  const outcomes = (['done', 'failed', 'canceled', 'expired'] as const)
    .filter((name) => of(name) > 0)
    .map((name) => `${of(name).toLocaleString('en')} ${name}`)
  if (jobs === 0 && steps > 0) return `${state === 'canceled' ? 'Canceled: its' : 'Its'} jobs are not kept any longer.`
  if (jobs === 0) return state === 'canceled' ? 'Canceled before its first job.' : 'It has no job yet.'
  const all = `${jobs.toLocaleString('en')} ${jobs === 1 ? 'job' : 'jobs'}`
  if (ended < jobs)
    return `${state === 'canceled' ? 'Canceled' : 'Runs'}: ${ended.toLocaleString('en')} of ${all} ended.`
  return `${state === 'canceled' ? 'Canceled' : 'Nothing left to do'}: ${all}, ${outcomes.join(', ')}.`
}

export const runPath = (tenant: string, run: string): string =>
  `/runs/${encodeURIComponent(tenant)}/${encodeURIComponent(run)}`
