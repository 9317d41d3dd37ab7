/** The figures of Now, and the situation that its brief is made of: read from the history when somebody looks. */
import { healthOf } from '../../core/deployment-state.ts'
import { MANY, MIN_ANSWERS } from '../../core/goals.ts'
import type { DeploymentRow, Figure, Goals, Now, Range } from '../../core/live.ts'
import type { TtftParts } from '../../core/measure.ts'
import type { DeploymentStatus } from '../../core/ports/operations.ts'
import type { Period, Situation, Trouble } from '../brief/situation.ts'
import { type Span, spanOf, spark } from '../history/chart.ts'
import { rounded } from '../history/deployments.ts'
import { PARTS } from '../history/history.ts'
import type { Marks } from '../history/marks.ts'
import type { HistoryView } from '../history/sum.ts'
import type { TierView } from '../history/tier.ts'
import { spendForecast } from './spend.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
/** Fewer first tokens in a minute than these say little: then five minutes are looked at. */
const ENOUGH = 20
const LATELY_MS = 5 * MINUTE_MS
const TOKENS_OVER_MS = 10_000

export function periodOf(tier: TierView, first: number, last: number): Period {
  const total = (column: Parameters<TierView['total']>[2]): number => tier.total(first, last, column)
  const firstTokens = total('firstTokens')
  const tpot = tier.marks(first, last, 'tpot')
  return {
    firstTokens,
    parts:
      firstTokens === 0
        ? null
        : (Object.fromEntries(PARTS.map((part) => [part, total(part) / firstTokens])) as unknown as TtftParts),
    ttftP95Ms: tier.marks(first, last, 'ttft').quantile(0.95),
    tpots: tpot.count,
    tpotP95Ms: tpot.quantile(0.95),
    tpotP50Ms: tpot.quantile(0.5),
    done: total('done'),
    failed: total('failed'),
    expired: total('expired'),
    refused: total('refused'),
    judged: total('judged'),
    good: total('good'),
  }
}

/** The last minute, or five of them where too little came in one. */
export function latelyOf(
  { tiers: [tier] }: HistoryView,
  nowMs: number,
): { readonly period: Period; readonly minutes: number } {
  const last = tier.bucketAt(nowMs)
  const minute = periodOf(tier, tier.bucketAt(nowMs - MINUTE_MS), last)
  if (minute.firstTokens + minute.done + minute.failed >= ENOUGH) return { period: minute, minutes: 1 }
  return { period: periodOf(tier, tier.bucketAt(nowMs - LATELY_MS), last), minutes: 5 }
}

/** The hour before the last five minutes; null: nothing is known of it. */
export function beforeOf({ tiers, startAtMs }: HistoryView, nowMs: number): Period | null {
  const tier = tiers[2]
  const last = tier.bucketAt(nowMs - LATELY_MS) - 1
  const first = Math.max(tier.bucketAt(nowMs - LATELY_MS - HOUR_MS), tier.bucketAt(startAtMs))
  return first > last ? null : periodOf(tier, first, last)
}

/** Of a range of the past: how it was, and in the hour before it. */
export function pastOf(history: HistoryView, range: Range, nowMs: number): Pick<Situation, 'now' | 'before'> {
  const { tier, first, last } = spanOf(history, range, nowMs)
  return {
    now: periodOf(tier, first, last),
    // So that the five minutes that are lately in the present are no part of it
    before: first > last ? null : beforeOf(history, first * tier.stepMs + LATELY_MS),
  }
}

/** When each trouble began: with the first of the minutes without a break in which it was so, as finely as is known. */
export function sincesOf({ tiers }: HistoryView, nowMs: number, goals: Goals): Partial<Record<Trouble, number>> {
  const [fine, , minutes] = tiers
  const since: Partial<Record<Trouble, number>> = {}
  for (const [trouble, test] of Object.entries(testsOf(goals)) as Array<[Trouble, Test]>) {
    const from = backTo(minutes, nowMs, test)
    if (from !== null) since[trouble] = withinMinute(fine, from, from + minutes.stepMs, test) ?? from
  }
  return since
}

/** Was it so? Null: nothing was measured. */
type Test = (tier: TierView, bucket: number) => boolean | null

const testsOf = (goals: Goals): Readonly<Record<Exclude<Trouble, 'stuck'>, Test>> => ({
  late: (tier, bucket) => over(tier.ttft(bucket), goals.ttftMs),
  slow: (tier, bucket) => over(tier.tpot(bucket), goals.tpotMs),
  failing: (tier, bucket) => shareOver(tier, bucket, 'failed'),
  refusing: (tier, bucket) => shareOver(tier, bucket, 'refused'),
})

/** With the first bucket of this time in which it was so, or with those without a break before that. */
function withinMinute(tier: TierView, fromMs: number, toMs: number, test: Test): number | null {
  for (let bucket = tier.bucketAt(fromMs); bucket < tier.bucketAt(toMs); bucket++)
    if (test(tier, bucket) === true) return backTo(tier, bucket * tier.stepMs, test)
  return null
}

/** Buckets in which nothing was measured break nothing, nor does the present one, which has only just begun perhaps. */
function backTo(tier: TierView, nowMs: number, test: Test): number | null {
  let from: number | null = null
  const last = tier.bucketAt(nowMs)
  for (let bucket = last; bucket > last - tier.slots && bucket >= 0; bucket--) {
    const is = test(tier, bucket)
    if (is === true) from = bucket * tier.stepMs
    else if (bucket < last && (is === false || !tier.has(bucket))) return from
  }
  return from
}

function over(marks: Marks | null, goal: number): boolean | null {
  const p95 = marks?.quantile(0.95) ?? null
  return p95 === null ? null : p95 > goal
}

function shareOver(tier: TierView, bucket: number, of: 'failed' | 'refused'): boolean | null {
  const failed = tier.value(bucket, 'failed') + tier.value(bucket, 'expired')
  const refused = of === 'refused' ? tier.value(bucket, 'refused') : 0
  const all = tier.value(bucket, 'done') + failed + refused
  return all === 0 ? null : (of === 'failed' ? failed : refused) / all >= MANY
}

/** For how long something has waited while nothing ran; 0: it is not so now. */
export function stuckSince({ tiers: [tier] }: HistoryView, nowMs: number): number | null {
  let from: number | null = null
  for (let bucket = tier.bucketAt(nowMs); bucket > tier.bucketAt(nowMs) - tier.slots && bucket >= 0; bucket--) {
    if (tier.value(bucket, 'looks') === 0) {
      if (from === null && bucket === tier.bucketAt(nowMs)) continue
      return from
    }
    if (tier.value(bucket, 'waiting') === 0 || tier.value(bucket, 'running') > 0) return from
    from = bucket * tier.stepMs
  }
  return from
}

// ---------------------------------------------------------------- figures

export interface Beside {
  /** Null: the store is away. */
  readonly waitingJobs: number | null
  readonly waitingTokens: number
  readonly spentNanoUsd: number | null
  readonly spendGoal: number | null
  readonly isSpentEstimated: boolean
}

export function figuresOf(
  history: HistoryView,
  range: Range,
  nowMs: number,
  goals: Goals,
  beside: Beside,
): Omit<Now, 'briefs' | 'deployments' | 'atMs'> {
  const span = spanOf(history, range, nowMs)
  const { tier, first, last, isLive } = span
  // Of the past: all of the range
  const { period, minutes } = isLive ? latelyOf(history, nowMs) : { period: periodOf(tier, first, last), minutes: null }
  const perMs = isLive ? tokensLately(history, nowMs) : tier.total(first, last, 'tokensOut') / Math.max(1, spanMs(span))
  const looks = tier.total(first, last, 'looks')
  const waitingJobs = looks === 0 ? null : Math.round(tier.total(first, last, 'waiting') / looks)
  const spentNanoUsd = isLive ? beside.spentNanoUsd : tier.total(first, last, 'nanoUsd')
  const spendGoal = isLive ? beside.spendGoal : null
  const good = period.judged === 0 ? null : period.good / period.judged
  const quantile = (of: 'ttft' | 'tpot') => spark(span, (from, to) => rounded(tier.marks(from, to, of).quantile(0.95)))
  const ratio = (a: 'good' | 'tokensOut' | 'waiting', b: 'judged' | 'looks') =>
    spark(span, (from, to) => {
      const n = tier.total(from, to, b)
      return n === 0 ? null : Math.round((tier.total(from, to, a) / n) * 1_000) / 1_000
    })
  let spent = 0
  const forecast = isLive ? spendForecast(beside.spentNanoUsd, nowMs) : null
  return {
    period: { minutes, parts: period.parts && roundedParts(period.parts), tpotP50Ms: rounded(period.tpotP50Ms) },
    ttftP95Ms: figure(period.firstTokens, rounded(period.ttftP95Ms), goals.ttftMs, quantile('ttft')),
    tpotP95Ms: figure(period.tpots, rounded(period.tpotP95Ms), goals.tpotMs, quantile('tpot')),
    tokensPerSecond: {
      value: Math.round(perMs * 10_000) / 10,
      goal: null,
      isWell: true,
      few: null,
      spark: spark(
        span,
        (from, to) => Math.round((tier.total(from, to, 'tokensOut') / ((to - from + 1) * tier.stepMs)) * 10_000) / 10,
      ),
    },
    waitingJobs: {
      value: isLive ? beside.waitingJobs : waitingJobs,
      goal: null,
      isWell: true,
      few: null,
      spark: ratio('waiting', 'looks'),
    },
    waitingTokens: isLive ? beside.waitingTokens : 0,
    good: {
      value: good,
      goal: goals.good,
      isWell: good === null || few(period.judged) !== null || good >= goals.good,
      few: few(period.judged),
      spark: ratio('good', 'judged'),
    },
    spentNanoUsd: {
      value: spentNanoUsd,
      goal: spendGoal,
      isWell: spendGoal === null || Math.max(spentNanoUsd ?? 0, forecast ?? 0) <= spendGoal,
      few: null,
      // As it grew over the range
      spark: spark(span, (from, to) => tier.total(from, to, 'nanoUsd')).map((n) => (spent += n ?? 0)),
    },
    spendForecastNanoUsd: forecast,
    isSpentEstimated: isLive ? beside.isSpentEstimated : tier.total(first, last, 'estimated') > 0,
  }
}

const roundedParts = (parts: TtftParts): TtftParts =>
  Object.fromEntries(PARTS.map((part) => [part, rounded(parts[part] ?? 0)])) as unknown as TtftParts

/** As many answers, if they are too few to judge. */
const few = (answers: number): number | null => (answers > 0 && answers < MIN_ANSWERS ? answers : null)

const figure = (answers: number, value: number | null, goal: number, points: Figure['spark']): Figure => ({
  value,
  goal,
  isWell: value === null || few(answers) !== null || value <= goal,
  few: few(answers),
  spark: points,
})

const spanMs = ({ tier, first, last }: Span): number => (last - first + 1) * tier.stepMs

/** Tokens a ms: the present bucket is not over, so it counts for what it is. */
function tokensLately({ tiers: [tier], startAtMs }: HistoryView, nowMs: number): number {
  const last = tier.bucketAt(nowMs)
  const first = last - TOKENS_OVER_MS / tier.stepMs
  const overMs = Math.max(1_000, nowMs - Math.max(first * tier.stepMs, startAtMs))
  return tier.total(first, last, 'tokensOut') / overMs
}

/** A deployment, with the model that it serves; of several the first one. */
export interface Deployed {
  readonly deployment: string
  readonly model: string
}

export function deploymentRow(
  { deployment, model }: Deployed,
  status: DeploymentStatus | undefined,
  history: HistoryView,
  range: number,
  nowMs: number,
): DeploymentRow {
  const { active = 0, concurrent = 0, unwell = [], isDrained = false, check = null } = status ?? {}
  const { state, coolsForMs, failuresInRow } = healthOf({ active, concurrent, isDrained, unwell, check })
  const of = history.deployments.read(deployment, range, nowMs)
  return {
    model,
    deployment,
    state: status === undefined || concurrent === 0 ? 'gone' : state,
    active,
    concurrent: Number.isFinite(concurrent) ? concurrent : null,
    coolsForMs,
    failuresInRow,
    failedCheck: check?.isDown === true ? check.why : null,
    lastError: failuresInRow > 0 || of.failed > 0 ? history.deployments.lastError(deployment) : null,
    ...of,
    nanoUsd: of.nanoUsd === 0 ? null : of.nanoUsd,
  }
}
