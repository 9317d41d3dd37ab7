/** The history as the dashboard draws it. */
import type { Chart, Figure, Range, RangeName } from '../../core/live.ts'
import type { TtftParts } from '../../core/measure.ts'
import { rounded, SPARK } from './deployments.ts'
import { PARTS } from './history.ts'
import { HEAT_ROWS, heatOf } from './marks.ts'
import type { HistoryView } from './sum.ts'
import type { Column, TierView } from './tier.ts'

export const RANGES: Readonly<Record<RangeName, number>> = { '15m': 0, '1h': 1, '6h': 2, '24h': 3, '7d': 4 }

/** Buckets of a tier: which ones a range shows. */
export interface Span {
  readonly range: Range
  /** Which of the tiers. */
  readonly nth: number
  readonly tier: TierView
  readonly first: number
  readonly last: number
  /** It goes on: the last bucket is the present one. */
  readonly isLive: boolean
}

/** A piece of the past is shown as finely as it is still known. Before the start, and ahead, there are no buckets. */
export function spanOf({ tiers, startAtMs }: HistoryView, range: Range, nowMs: number): Span {
  if (typeof range === 'string') {
    const nth = RANGES[range]
    const tier = tiers[nth]
    const last = tier.bucketAt(nowMs)
    const first = Math.max(last - tier.slots + 1, Math.min(last, tier.bucketAt(startAtMs)))
    return { range, nth, tier, first, last, isLive: true }
  }
  const isKnown = range.toMs > startAtMs && range.fromMs <= nowMs
  const fromMs = Math.max(range.fromMs, startAtMs)
  const found = tiers.findIndex(({ stepMs, slots }) => nowMs - slots * stepMs <= fromMs)
  const nth = found < 0 ? tiers.length - 1 : found
  const tier = tiers[nth]
  const last = tier.bucketAt(Math.min(Math.max(range.toMs - 1, fromMs), nowMs))
  const first = Math.max(last - tier.slots + 1, Math.min(last, tier.bucketAt(fromMs)))
  return { range, nth, tier, first, last: isKnown ? last : first - 1, isLive: false }
}

/** Buckets of a span from this one on; all of them where it is null. */
export function chartOf({ range, tier, first, last }: Span, from: number | null): Chart {
  const begin = from === null ? first : Math.max(first, Math.min(from, last))
  const counts = (column: Column): number[] => each(begin, last, (bucket) => Math.max(0, tier.value(bucket, column)))
  const mean = (column: Column, of: Column): Array<number | null> =>
    each(begin, last, (bucket) => {
      const n = tier.value(bucket, of)
      return n === 0 ? null : rounded(tier.value(bucket, column) / n)
    })
  const quantile = (of: 'ttft' | 'tpot', share: number): Array<number | null> =>
    each(begin, last, (bucket) => rounded(tier[of](bucket)?.quantile(share) ?? null))
  return {
    range,
    stepMs: tier.stepMs,
    startAtMs: first * tier.stepMs,
    buckets: last - first + 1,
    from: begin - first,
    ttft: Object.fromEntries(PARTS.map((part) => [part, mean(part, 'firstTokens')])) as {
      [part in keyof TtftParts]-?: Array<number | null>
    },
    firstTokens: counts('firstTokens'),
    ttftP50: quantile('ttft', 0.5),
    ttftP95: quantile('ttft', 0.95),
    tpotP50: quantile('tpot', 0.5),
    tpotP95: quantile('tpot', 0.95),
    heatRows: HEAT_ROWS,
    heat: each(begin, last, (bucket) => {
      const marks = tier.tpot(bucket)
      return marks === null ? [] : heatOf(marks)
    }),
    stalls: counts('stalls'),
    outcomes: {
      done: counts('done'),
      failed: counts('failed'),
      canceled: counts('canceled'),
      expired: counts('expired'),
      refused: counts('refused'),
    },
    tokensOut: counts('tokensOut'),
    tokensIn: counts('tokensIn'),
    tokensCached: counts('tokensCached'),
    good: counts('good'),
    judged: counts('judged'),
    waiting: mean('waiting', 'looks'),
    running: mean('running', 'looks'),
    nanoUsd: counts('nanoUsd'),
  }
}

function each<T>(first: number, last: number, fn: (bucket: number) => T): T[] {
  const values: T[] = []
  for (let bucket = first; bucket <= last; bucket++) values.push(fn(bucket))
  return values
}

/** At most SPARK points over the span: of as many buckets each as it takes, the last one included. */
export function spark({ first, last }: Span, of: (from: number, to: number) => number | null): Figure['spark'] {
  const wide = Math.ceil((last - first + 1) / SPARK)
  const points: Array<number | null> = []
  for (let to = last; to >= first; to -= wide) points.unshift(of(Math.max(first, to - wide + 1), to))
  return points
}
