/** The figures and briefs of Now, once a second for all pages that look at the same. */
import type { Clock } from '../../core/clock.ts'
import type { WireError } from '../../core/errors.ts'
import type { JobId, Place } from '../../core/job.ts'
import type { Goals, Now, Range } from '../../core/live.ts'
import { ModelIndex } from '../../core/model-index.ts'
import type { Audit } from '../../core/ports/audit.ts'
import type { Jobs } from '../../core/ports/jobs.ts'
import type { Operations } from '../../core/ports/operations.ts'
import { briefsOf } from '../brief/brief.ts'
import { briefsOfPast } from '../brief/past.ts'
import type { DeploymentNow, Situation } from '../brief/situation.ts'
import { spanOf } from '../history/chart.ts'
import type { HistoryView } from '../history/sum.ts'
import type { TraceBook } from '../traces/traces.ts'
import type { Changes } from './changes.ts'
import { beforeOf, type Deployed, deploymentRow, figuresOf, latelyOf, pastOf, sincesOf, stuckSince } from './now.ts'
import { bounded } from './patience.ts'
import { countsOf, type Tallies } from './watchers.ts'
import { NO_WAITS, whoWaits } from './who-waits.ts'

/** What was computed is good for all pages of one second. */
const FRESH_MS = 500
/** The ledger is asked for what was spent today this often; what comes meanwhile is in the next answer. */
const SPENT_MS = 10_000
const AUDIT_SHOWN = 100
/** It is known by then that the store is away, and asked for little longer once that is known. */
const STORE_MS = 2_500
const AWAY_MS = 250
const LIVE_RANGE = '15m'

export interface Spent {
  readonly nanoUsd: number
  readonly isEstimated: boolean
}

export interface NowParts {
  readonly clock: Clock
  readonly traces: TraceBook
  readonly changes: Changes
  readonly operations: Pick<Operations, 'depth' | 'backlog' | 'deployments' | 'paused' | 'line'>
  readonly jobs: Pick<Jobs, 'places' | 'list'>
  readonly audit: Pick<Audit, 'list'>
  readonly goals: () => Goals
  readonly deployed: () => readonly Deployed[]
  /** Nano-dollars that today may cost; null: any sum. */
  readonly spendGoal: (nowMs: number) => number | null
  /** Today, by the ledger. */
  readonly spent: () => Promise<Spent>
  readonly store: () => { readonly error: WireError | null; readonly commitP99Ms: number | null }
  /** Since when a deployment has been out, as far as any node knows. */
  readonly outSince: (deployment: string) => number | null
  readonly gone: () => readonly string[]
  readonly loop: () => Situation['loop']
  /** Of this node's answers. */
  readonly silent: (nowMs: number) => Situation['silent']
}

/** What is looked at: one node, or several as one. */
export interface View {
  /** Another one for other nodes. */
  readonly key: string
  readonly history: HistoryView
  readonly tallies: readonly Tallies[]
}

export interface NowPages {
  read(range: Range, nowMs: number, view: View): Promise<Now>
  /** What the audit has of the time before the start is among the changes. */
  older(): Promise<void>
}

export function createNowPages(parts: NowParts): NowPages {
  const { clock, traces, changes, operations, jobs, goals, deployed, store } = parts
  let older: Promise<void> | null = null
  let spent: { readonly atMs: number; readonly value: Promise<Spent | null> } | null = null
  /** By the key of what is looked at. */
  const common = new Map<string, { readonly atMs: number; readonly value: Promise<Situation> }>()

  function situation(nowMs: number, view: View): Promise<Situation> {
    for (const [key, { atMs }] of common) if (Math.abs(nowMs - atMs) >= FRESH_MS) common.delete(key)
    const known = common.get(view.key) ?? { atMs: nowMs, value: gather(nowMs, view) }
    common.set(view.key, known)
    return known.value
  }

  /** A store that is away can't tell, which is the very thing to be told, and soon. */
  const told = <T, U>(asked: Promise<T>, otherwise: U): Promise<T | U> =>
    bounded(clock, store().error === null ? STORE_MS : AWAY_MS, asked).catch((error: unknown) => {
      if (store().error === null) throw error
      return otherwise
    })

  /** Since when nothing of a model runs, though jobs of it wait. */
  const stuckFrom = new Map<string, number>()

  function stuckModels(waiting: ReadonlyMap<string, number>, running: ReadonlyMap<string, number>, nowMs: number) {
    for (const model of [...stuckFrom.keys()])
      if (!waiting.has(model) || (running.get(model) ?? 0) > 0) stuckFrom.delete(model)
    for (const model of waiting.keys())
      if ((running.get(model) ?? 0) === 0 && !stuckFrom.has(model)) stuckFrom.set(model, nowMs)
    return [...stuckFrom]
      .map(([model, fromMs]) => ({ model, jobs: waiting.get(model) ?? 0, forMs: Math.max(0, nowMs - fromMs) }))
      .sort((a, b) => b.forMs - a.forMs)
      .slice(0, MAX_ROWS)
  }

  async function gather(nowMs: number, { history, tallies }: View): Promise<Situation> {
    const [depth, backlog, statuses, paused] = await Promise.all([
      told(operations.depth(), null),
      told(operations.backlog(), []),
      told(operations.deployments(), []),
      told(operations.paused(), []),
    ])
    const { period, minutes } = latelyOf(history, nowMs)
    const before = beforeOf(history, nowMs)
    const inQueue = depth === null ? 0 : depth.queued + depth.waiting
    const stuckAtMs = inQueue > 0 && depth?.leased === 0 ? stuckSince(history, nowMs) : null
    const wanted = goals()
    const served = deployed()
    const models = new ModelIndex([...new Set(served.map(({ model }) => model))].map((name) => ({ name })))
    const nameOf = (model: string): string => models.find(model)?.name ?? model
    const inLine = new Map<string, number>()
    for (const { jobs, model } of backlog)
      if (jobs > 0) inLine.set(nameOf(model), (inLine.get(nameOf(model)) ?? 0) + jobs)
    const counts = countsOf(tallies, { nowMs, minutes, knownFromMs: history.knownFromMs, nameOf })
    const waits = await whoWaits(traces.newest(), {
      ...{ paused, nameOf },
      first: counts.delays.queue[0]?.model ?? null,
      places: (asked) => told(jobs.places(asked), new Map<JobId, Place>()),
    })
    // What is paused is not in the backlog
    for (const [model, { held }] of waits.models) inLine.set(model, Math.max(inLine.get(model) ?? 0, held))
    const slots = inQueue === 0 ? null : (await told(operations.line('model', NO_ROWS), null))?.slots
    const running = new Map<string, number>()
    for (const { deployment, model } of served) {
      const active = statuses.find((each) => each.deployment === deployment)?.active ?? 0
      running.set(model, (running.get(model) ?? 0) + active)
    }
    const deployments = served.map((each): DeploymentNow => {
      const status = statuses.find(({ deployment }) => deployment === each.deployment)
      const row = deploymentRow(each, status, history, 0, nowMs)
      const outSince = parts.outSince(each.deployment)
      const isOut = row.state === 'cooling' || row.state === 'failing'
      return {
        ...row,
        outForMs: isOut ? Math.max(0, nowMs - (outSince ?? nowMs)) : null,
        tpotP50BeforeMs: history.deployments.read(each.deployment, 1, nowMs - 300_000).tpotP50Ms,
        lately: history.deployments.over(each.deployment, { nowMs, minutes, goals: wanted }),
      }
    })
    return {
      nowMs,
      isNew:
        traces.version === 0 && store().error === null && (await told(jobs.list({ limit: 1 }), null))?.length === 0,
      goals: wanted,
      now: period,
      before,
      since: { ...sincesOf(history, nowMs, wanted), ...(stuckAtMs !== null && { stuck: stuckAtMs }) },
      waiting: {
        jobs: inQueue,
        tokens: backlog.reduce((sum, { tokens }) => sum + tokens, 0),
        models: [...inLine]
          .filter(([, jobs]) => jobs > 0)
          .map(([model, jobs]) => ({ model, jobs, ...(waits.models.get(model)?.waits ?? NO_WAITS) }))
          .sort((a, b) => b.jobs - a.jobs),
        ...waits.all,
      },
      slots: slots ?? null,
      loop: parts.loop(),
      running: depth?.leased ?? null,
      stuckMs: stuckAtMs === null ? 0 : nowMs - stuckAtMs,
      stuckModels: stuckModels(inLine, running, nowMs),
      ...counts,
      silent: parts.silent(nowMs),
      paused: paused.map((each, i) => ({ ...each, ...waits.paused[i] })),
      deployments,
      store: { ...store(), sinceAtMs: changes.storeOutSince },
      gone: parts.gone(),
    }
  }

  function spentToday(nowMs: number): Promise<Spent | null> {
    if (spent === null || Math.abs(nowMs - spent.atMs) >= SPENT_MS)
      spent = { atMs: nowMs, value: told(parts.spent(), null).catch(() => null) }
    return spent.value
  }

  return {
    async read(range, nowMs, view) {
      const { history } = view
      const [now, money] = await Promise.all([situation(nowMs, view), spentToday(nowMs)])
      const isPast = typeof range !== 'string'
      const { nth } = spanOf(history, isPast ? LIVE_RANGE : range, nowMs)
      const statuses = nth === 0 ? now.deployments : await rows(history, nth, nowMs)
      return {
        atMs: nowMs,
        briefs: isPast ? briefsOfPast(pastOf(history, range, nowMs), goals()) : briefsOf(now),
        ...figuresOf(history, range, nowMs, goals(), {
          waitingJobs: now.running === null ? null : now.waiting.jobs,
          waitingTokens: now.waiting.tokens,
          spentNanoUsd: money?.nanoUsd ?? null,
          spendGoal: parts.spendGoal(nowMs),
          isSpentEstimated: money?.isEstimated ?? false,
        }),
        deployments: statuses.slice(0, MAX_ROWS).map(bare),
      }
    },
    older() {
      older ??= parts.audit.list(AUDIT_SHOWN).then((entries) => changes.addOlder(entries))
      // While the store is away it is asked again
      return older.catch(() => {
        older = null
      })
    },
  }

  async function rows(history: HistoryView, range: number, nowMs: number) {
    const statuses = await told(operations.deployments(), [])
    return deployed().map((each) =>
      deploymentRow(
        each,
        statuses.find(({ deployment }) => deployment === each.deployment),
        history,
        range,
        nowMs,
      ),
    )
  }
}

/** Of the line, its slots alone. */
const NO_ROWS = { rows: 0, waits: 0, runs: 0 }
/** Of Now: the page of models has all. */
const MAX_ROWS = 12
/** As many points as a sparkline of a table shows. */
const POINTS = 20

function bare(row: DeploymentNow | Now['deployments'][number]): Now['deployments'][number] {
  const { outForMs: _, tpotP50BeforeMs: __, lately: ___, ...rest } = row as DeploymentNow
  return { ...rest, ttftSpark: fewer(rest.ttftSpark), tpotSpark: fewer(rest.tpotSpark) }
}

/** The worst of each few. */
function fewer(spark: readonly (number | null)[]): Array<number | null> {
  const wide = Math.ceil(spark.length / POINTS)
  return Array.from({ length: Math.ceil(spark.length / wide) }, (_, i) =>
    spark
      .slice(i * wide, (i + 1) * wide)
      .reduce((most, value) => (value === null ? most : Math.max(most ?? value, value)), null),
  )
}
