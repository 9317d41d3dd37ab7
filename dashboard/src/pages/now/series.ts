/** What the charts of Now draw, made from the columns of a chart. Pure. */
import type { Chart, Now } from '../../../../src/core/live.ts'
import type { TtftPart } from '../../../../src/core/measure.ts'
import type { Tone } from '../../parts/chart.tsx'
import type { Group } from '../../parts/time.ts'
import { meanOf, sumOf } from '../../parts/time.ts'

/**
 * TTFT bottom up: in the order of the path, but for what Sluice itself takes, which lies at the bottom as one: its
 * parts are thin, and slate may not touch water.
 */
export const STACK = [
  { id: 'sluice', tone: '--slate', swatch: 'slate', word: 'Sluice', parts: ['admission', 'routing', 'delivery'] },
  { id: 'queue', tone: '--sand', swatch: 'sand', word: 'queue', parts: ['queue'] },
  { id: 'retries', tone: '--bad', swatch: 'bad', word: 'retries', parts: ['retries'] },
  { id: 'connect', tone: '--plum', swatch: 'plum', word: 'connect', parts: ['connect'] },
  { id: 'upstream', tone: '--blue', swatch: 'blue', word: 'upstream', parts: ['upstream'] },
] as const satisfies readonly {
  readonly id: string
  readonly tone: Tone
  readonly swatch: string
  readonly word: string
  readonly parts: readonly TtftPart[]
}[]

export type StackPart = (typeof STACK)[number]

export function partOf({ ttft, firstTokens }: Chart, { parts }: StackPart, group: Group): number | null {
  const means = parts.map((part) => meanOf(ttft[part], firstTokens, group)).filter((mean) => mean !== null)
  return means.length === 0 ? null : means.reduce((sum, mean) => sum + mean, 0)
}

/** What is no part of TTFT; null: nothing waited for its own turn. */
export function turnOf({ ttft, firstTokens }: Chart, group: Group): number | null {
  const mean = meanOf(ttft.turn, firstTokens, group)
  return mean === null || mean < 1 ? null : mean
}

/** What a chart's labels are of, as are the figures above it. */
export const periodWords = ({ period: { minutes } }: Pick<Now, 'period'>): string => {
  if (minutes === null) return 'in this range'
  return minutes === 1 ? 'last minute' : `last ${minutes} min`
}

export interface TtftLabel {
  readonly key: string
  readonly swatch: string | null
  readonly word: string
  readonly ms: number | null
  /** Where in the stack it stands, ms. */
  readonly at: number
}

/** What stands at the right end of the chart, top down; parts stand where they are stacked. */
export function ttftLabels({
  period: { parts },
  ttftP95Ms: { value },
}: Pick<Now, 'period' | 'ttftP95Ms'>): TtftLabel[] {
  let below = 0
  const stacked = STACK.map(({ id, swatch, word, parts: names }): TtftLabel => {
    const ms = parts === null ? null : names.reduce((sum, name) => sum + parts[name], 0)
    below += ms ?? 0
    return { key: id, swatch, word, ms, at: below - (ms ?? 0) / 2 }
  }).filter(({ key, ms }) => key !== 'retries' || (ms ?? 0) >= 10)
  return [{ key: 'p95', swatch: null, word: 'p95', ms: value, at: value ?? 0 }, ...stacked.reverse()]
}

/** One sentence of what the picture shows, by rule: what grew against the first third of the range. */
export function ttftWords(chart: Chart): string | null {
  const third = Math.floor(chart.buckets / 3)
  if (third < 2) return null
  const before = { startMs: 0, from: 0, to: third }
  const after = {
    startMs: 0,
    from: Math.max(third, chart.buckets - Math.max(2, Math.floor(third / 2))),
    to: chart.buckets,
  }
  const grown = STACK.map((part) => {
    const was = partOf(chart, part, before)
    const is = partOf(chart, part, after)
    return { part, was, is, by: was === null || is === null ? 0 : is - was }
  })
  const known = grown.some(({ was, is }) => was !== null && is !== null)
  if (!known) return null
  const all = grown.reduce((sum, { by }) => sum + by, 0)
  const was = grown.reduce((sum, { was }) => sum + (was ?? 0), 0)
  if (all < Math.max(60, was * 0.4)) return null
  const most = grown.reduce((best, one) => (one.by > best.by ? one : best))
  if (most.by < all * 0.6) return 'Several parts grew'
  if (most.part.id === 'queue') return 'The queue grew, the model did not slow'
  if (most.part.id === 'upstream') return 'The provider takes longer, the queue does not'
  return most.part.id === 'retries' ? 'Attempts fail before the one that answers' : `${most.part.word} grew`
}

/** Errors that the goal leaves room for, and how fast they are used: 1 is just what it allows. */
export function burnOf({ good, judged }: Pick<Chart, 'good' | 'judged'>, goal: number): number | null {
  const all = judged.reduce((sum, value) => sum + value, 0)
  if (all === 0 || goal >= 1) return null
  const bad = all - good.reduce((sum, value) => sum + value, 0)
  return bad / all / (1 - goal)
}

export const shareGood = ({ good, judged }: Pick<Chart, 'good' | 'judged'>): readonly (number | null)[] =>
  judged.map((all, at) => (all === 0 ? null : (good[at] / all) * 100))

/** Of a column of counts, what it comes to a second. */
export const perSecond = (column: readonly number[], stepMs: number): readonly number[] =>
  column.map((value) => (value * 1_000) / stepMs)

export const perMinute = (column: readonly number[], group: Group, stepMs: number): number =>
  (sumOf(column, group) * 60_000) / ((group.to - group.from) * stepMs)
