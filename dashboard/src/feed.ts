/** What the page knows, folded from the frames of its WebSocket. Pure: a pause keeps one fold and shows another. */

import type { WireError } from '../../src/core/errors.ts'
import type {
  ChangeRow,
  Chart,
  Foot,
  Hello,
  JobRow,
  JobTrace,
  Line,
  LiveAsk,
  LiveTold,
  Now,
  Range,
} from '../../src/core/live.ts'

export interface Feed {
  readonly asked: LiveAsk
  readonly hello: Hello | null
  readonly foot: Foot | null
  readonly now: Now | null
  readonly line: Line | null
  readonly chart: Chart | null
  readonly jobs: readonly JobRow[]
  readonly changes: readonly ChangeRow[]
  readonly trace: JobTrace | null
  readonly error: WireError | null
  /** Jobs and changes since `watch`: the first of each replaces what another watch has left. */
  readonly hasJobs: boolean
  readonly hasChanges: boolean
  /** Rows that were told: what a pause counts. */
  readonly events: number
}

export const EMPTY: Feed = {
  asked: { t: 'watch', page: 'foot' },
  hello: null,
  foot: null,
  now: null,
  line: null,
  chart: null,
  jobs: [],
  changes: [],
  trace: null,
  error: null,
  hasJobs: false,
  hasChanges: false,
  events: 0,
}

/** Bounds what a page that stays open keeps. */
const MOST_JOBS = 1_000
const MOST_CHANGES = 200

/** Another watch: old data stays until there is new, except of another job. */
export const ask = (feed: Feed, asked: LiveAsk): Feed => ({
  ...feed,
  asked,
  hasJobs: false,
  hasChanges: false,
  error: null,
  trace: asked.page === 'job' && feed.trace?.row.job === asked.job ? feed.trace : null,
})

export function tell(feed: Feed, told: LiveTold): Feed {
  switch (told.t) {
    case 'hello':
      return { ...feed, hello: told }
    case 'foot':
      return { ...feed, foot: told }
    case 'now':
      return { ...feed, now: told, error: null }
    case 'line':
      return { ...feed, line: told }
    case 'chart':
      return { ...feed, chart: mergeChart(feed.chart, told) }
    case 'jobs': {
      const jobs = feed.hasJobs ? mergeJobs(feed.jobs, told.jobs) : told.jobs
      return { ...feed, jobs, hasJobs: true, error: null, events: feed.events + (feed.hasJobs ? told.jobs.length : 0) }
    }
    case 'changes': {
      const changes = feed.hasChanges ? [...told.changes, ...feed.changes].slice(0, MOST_CHANGES) : told.changes
      return { ...feed, changes, hasChanges: true, events: feed.events + (feed.hasChanges ? told.changes.length : 0) }
    }
    case 'job':
      return { ...feed, trace: told, error: null, events: feed.events + 1 }
    case 'error':
      return { ...feed, error: told.error }
    default:
      return feed
  }
}

/** A row that is there stays where it is; new ones come on top. */
export function mergeJobs(before: readonly JobRow[], told: readonly JobRow[]): readonly JobRow[] {
  const changed = new Map(told.map((row) => [row.job, row]))
  const kept = before.map((row) => {
    const next = changed.get(row.job)
    changed.delete(row.job)
    return next ?? row
  })
  return [...changed.values(), ...kept].slice(0, MOST_JOBS)
}

export const sameRange = (one: Range, other: Range): boolean =>
  typeof one === 'string' || typeof other === 'string'
    ? one === other
    : one.fromMs === other.fromMs && one.toMs === other.toMs

/** `told` has the buckets from `from` on; those before are what we have, moved as the range went on. */
export function mergeChart(before: Chart | null, told: Chart): Chart {
  if (told.from === 0) return told
  if (before === null || before.stepMs !== told.stepMs || !sameRange(before.range, told.range)) return told
  const moved = Math.round((told.startAtMs - before.startAtMs) / told.stepMs)
  if (moved < 0) return told
  const joined = <T>(old: readonly T[], fresh: readonly T[], missing: T): readonly T[] => {
    const kept = old.slice(moved, moved + told.from)
    while (kept.length < told.from) kept.push(missing)
    return [...kept, ...fresh]
  }
  const columns = <T, N extends string>(
    old: Readonly<Record<N, readonly T[]>>,
    fresh: Readonly<Record<N, readonly T[]>>,
    missing: T,
  ): Record<N, readonly T[]> =>
    Object.fromEntries(
      Object.entries<readonly T[]>(fresh).map(([name, column]) => [
        name,
        joined(old[name as N] ?? [], column, missing),
      ]),
    ) as Record<N, readonly T[]>
  return {
    ...told,
    from: 0,
    ttft: columns(before.ttft, told.ttft, null),
    firstTokens: joined(before.firstTokens, told.firstTokens, 0),
    ttftP50: joined(before.ttftP50, told.ttftP50, null),
    ttftP95: joined(before.ttftP95, told.ttftP95, null),
    tpotP50: joined(before.tpotP50, told.tpotP50, null),
    tpotP95: joined(before.tpotP95, told.tpotP95, null),
    heat: joined(before.heat, told.heat, []),
    stalls: joined(before.stalls, told.stalls, 0),
    outcomes: columns(before.outcomes, told.outcomes, 0),
    tokensOut: joined(before.tokensOut, told.tokensOut, 0),
    tokensIn: joined(before.tokensIn, told.tokensIn, 0),
    tokensCached: joined(before.tokensCached, told.tokensCached, 0),
    good: joined(before.good, told.good, 0),
    judged: joined(before.judged, told.judged, 0),
    waiting: joined(before.waiting, told.waiting, null),
    running: joined(before.running, told.running, null),
    nanoUsd: joined(before.nanoUsd, told.nanoUsd, 0),
  }
}
