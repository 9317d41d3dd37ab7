/**
 * The line, as people look at it: who waits and what runs, by tenant, model or deployment. A look costs a step for each
 * tenant that is known, each of its models and each running job; of what waits it sees the first few of each row.
 */
import type { Block, Line, LineRow, RowKind } from '../../core/live.ts'
import type { LineBounds } from '../../core/ports/operations.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import type { Plan } from '../plan/plan.ts'
import type { InLine, Notes, Scheduler, View } from '../scheduler/port.ts'
import { sharesDue } from './due.ts'
import { firstOf } from './order.ts'
import type { Service } from './service.ts'

export interface LookedAt {
  readonly scheduler: Scheduler
  readonly plan: Plan
  readonly service: Service
  /** Of all workers. */
  readonly slots: () => number
}

/** Whoever asks for more gets so much. */
const MOST: LineBounds = { rows: 8, waits: 40, runs: 60 }
/** Rows that are shown keep their order for so long, so that nothing jumps while it is read. */
const KEPT_MS = 10_000

interface Row {
  readonly name: string
  readonly crowds: InLine[]
  readonly runs: Block[]
  jobs: number
  tokens: number
  running: number
  service: number
  rate: number
}

interface Shown {
  readonly names: readonly string[]
  readonly sinceMono: number
}

export class LineView {
  readonly #of: LookedAt
  readonly #shown = new Map<RowKind, Shown>()

  constructor(of: LookedAt) {
    this.#of = of
  }

  /** `atMs`: the wall clock, for whoever shows it. */
  look(by: RowKind, bounds: LineBounds, now: number, atMs: number): Line {
    const most = bounded(bounds)
    const view = this.#of.scheduler.view()
    const { rows, waiting, running } = this.#rows(by, view, most, now)
    const all = [...rows.values()]
    const weightOf = (row: Row): number => (by === 'tenant' ? view.weightOf(row.name) : 1)
    const served = all.reduce((sum, { service }) => sum + service, 0)
    const shareOf = (row: Row): number => (served === 0 ? 0 : row.service / served)
    const due = dueOf(by, all, weightOf, shareOf)
    const top = this.#top(by, rows, weightOf, most.rows, now)
    const rest = all.filter((row) => !top.includes(row))
    const slots = this.#of.slots()
    const full = this.#full(view)
    return {
      atMs,
      rows: by,
      top: top.map(
        (row): LineRow => ({
          name: row.name,
          weight: by === 'tenant' ? weightOf(row) : null,
          ...this.#waiting(row, view, most.waits, now),
          runs: row.runs,
          running: row.running,
          share: shareOf(row),
          due: due.get(row) ?? null,
          tokensPerSecond: row.rate,
        }),
      ),
      others: {
        rows: rest.length,
        waiting: rest.reduce((sum, row) => sum + row.jobs, 0),
        running: rest.reduce((sum, row) => sum + row.running, 0),
        idle: Math.max(0, this.#known(by, view) - all.length),
      },
      waiting,
      running,
      slots: Number.isFinite(slots) ? slots : null,
      ...(full !== null && { full }),
      next: view.next === null ? null : this.#nameOf(by, view.next.job.tenant, view.next.job.model),
    }
  }

  #rows(
    by: RowKind,
    view: View,
    most: LineBounds,
    now: number,
  ): { readonly rows: ReadonlyMap<string, Row>; readonly waiting: Line['waiting']; readonly running: number } {
    const rows = new Map<string, Row>()
    const rowOf = (name: string): Row => {
      const known = rows.get(name)
      if (known !== undefined) return known
      const row = { name, crowds: [], runs: [], jobs: 0, tokens: 0, running: 0, service: 0, rate: 0 }
      rows.set(name, row)
      return row
    }
    const waiting = { jobs: 0, tokens: 0 }
    const only = new Map<string, string | null>()
    const nameOf = ({ tenant, model }: InLine): string | null => {
      if (by !== 'deployment') return by === 'tenant' ? tenant : model
      if (!only.has(model)) only.set(model, this.#nameOf(by, tenant, model))
      return only.get(model)!
    }
    for (const crowd of view.crowds) {
      const { jobs, tokens } = crowd
      if (jobs === 0) continue
      waiting.jobs += jobs
      waiting.tokens += tokens
      const name = nameOf(crowd)
      if (name === null) continue
      const row = rowOf(name)
      row.crowds.push(crowd)
      row.jobs += jobs
      row.tokens += tokens
    }
    let running = 0
    for (const { entry, outputTokens } of view.running) {
      running++
      const name = by === 'deployment' ? deploymentOf(entry) : entry.job[by]
      if (name === null) continue
      const row = rowOf(name)
      if (row.running++ < most.runs) row.runs.push(runningBlock(entry, outputTokens))
    }
    for (const [name, minute] of this.#of.service.lately(by, now)) {
      const row = rowOf(name)
      row.service = minute.service(now)
      row.rate = minute.rate(now)
    }
    return { rows, waiting, running }
  }

  /** What waits is of a deployment where its model has no other; null: it is of none. */
  #nameOf(by: RowKind, tenant: string, model: string): string | null {
    return by === 'tenant' ? tenant : by === 'model' ? model : this.#of.plan.deployments.only(model)
  }

  /** Null: most of what waits is of models that have room, or no limit. */
  #full(view: View): { readonly slots: number } | null {
    const waits = new Map<string, number>()
    for (const { model, jobs } of view.crowds) if (jobs > 0) waits.set(model, (waits.get(model) ?? 0) + jobs)
    let [all, held, slots] = [0, 0, 0]
    for (const [model, jobs] of waits) {
      all += jobs
      const full = this.#of.plan.deployments.fullSlots(model)
      if (full === null) continue
      held += jobs
      slots += full
    }
    return held > 0 && held >= all / 2 ? { slots } : null
  }

  #known(by: RowKind, view: View): number {
    const { models, deployments } = this.#of.plan.deployments.size
    return by === 'tenant' ? view.tenants : by === 'model' ? models : deployments
  }

  #waiting(row: Row, view: View, most: number, now: number): Pick<LineRow, 'waiting' | 'waits'> {
    const first = firstOf(row.crowds, Math.max(1, most), view)
    const place = first.length === 0 ? null : this.#of.scheduler.place(first[0].job.id, now)
    return {
      // 0: its turn is next, and nobody knows when a slot is free
      waiting: { jobs: row.jobs, tokens: row.tokens, nextInMs: place?.etaMs || null },
      waits: first.slice(0, most).map(({ job, bound }) => blockOf(job.id, job.promptTokens, 0, bound)),
    }
  }

  /** Who has waited the longest for its weight comes first, then who is served the most. */
  #top(
    by: RowKind,
    rows: ReadonlyMap<string, Row>,
    weightOf: (row: Row) => number,
    most: number,
    now: number,
  ): readonly Row[] {
    if (most === 0) return []
    const shown = this.#shown.get(by)
    const isKept = shown !== undefined && now - shown.sinceMono < KEPT_MS
    const kept = isKept ? shown.names.flatMap((name) => rows.get(name) ?? []).slice(0, most) : []
    const others = [...rows.values()].filter((row) => !kept.includes(row))
    others.sort((a, b) => b.tokens / weightOf(b) - a.tokens / weightOf(a) || b.service - a.service || named(a, b))
    const top = [...kept, ...others.slice(0, most - kept.length)]
    this.#shown.set(by, { names: top.map(({ name }) => name), sinceMono: isKept ? shown.sinceMono : now })
    return top
  }
}

const bounded = ({ rows, waits, runs }: LineBounds): LineBounds => ({
  rows: Math.min(rows, MOST.rows),
  waits: Math.min(waits, MOST.waits),
  runs: Math.min(runs, MOST.runs),
})

/** By weight alone: of models and deployments nothing is due. */
function dueOf(
  by: RowKind,
  rows: readonly Row[],
  weightOf: (row: Row) => number,
  shareOf: (row: Row) => number,
): ReadonlyMap<Row, number | null> {
  if (by !== 'tenant') return new Map()
  const due = sharesDue(rows.map((row) => ({ weight: weightOf(row), share: shareOf(row), waits: row.jobs > 0 })))
  return new Map(rows.map((row, at) => [row, due[at]]))
}

const deploymentOf = ({ claim }: Notes): string | null =>
  claim === null || claim.deployment === FROM_CACHE ? null : claim.deployment

/** What is held for it is known better than what it was taken for in line. */
function runningBlock({ job, claim, bound }: Notes, made: number): Block {
  const held = claim?.reservation ?? null
  const holds = held === null || held.inputTokens === 0 ? bound : held.inputTokens + held.outputTokens
  return blockOf(job.id, job.promptTokens, made, Math.max(holds, job.promptTokens + made))
}

const blockOf = (job: string, promptTokens: number, madeTokens: number, boundTokens: number): Block => ({
  job,
  promptTokens,
  madeTokens,
  boundTokens,
})

const named = (a: Row, b: Row): number => (a.name < b.name ? -1 : 1)
