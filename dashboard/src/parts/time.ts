/** What all time axes share: the crosshair, and buckets grouped into bars that can be seen. Pure but for the signal. */
import { signal } from '@preact/signals'
import type { ChangeRow, Chart } from '../../../src/core/live.ts'
import type { Shape } from './mark.tsx'

/** Where the crosshair stands, on every chart; null: nowhere. */
export const cross = signal<number | null>(null)

/** A time axis: buckets of `stepMs` from `startMs` on. */
export interface Axis {
  readonly startMs: number
  readonly stepMs: number
  readonly buckets: number
}

export const axisOf = ({ startAtMs, stepMs, buckets }: Chart): Axis => ({ startMs: startAtMs, stepMs, buckets })
export const endOf = ({ startMs, stepMs, buckets }: Axis): number => startMs + stepMs * buckets
export const bucketAt = ({ startMs, stepMs, buckets }: Axis, atMs: number): number =>
  Math.min(buckets - 1, Math.max(0, Math.floor((atMs - startMs) / stepMs)))

/** Steps that people count in. */
const NICE_MS = [5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400].map(
  (seconds) => seconds * 1_000,
)

/**
 * Buckets joined so that at most `most` bars are drawn; their edges stand still while the range scrolls. The first and
 * the last group may have fewer buckets.
 */
export function groupsOf(axis: Axis, most: number): { readonly stepMs: number; readonly groups: readonly Group[] } {
  const span = axis.stepMs * axis.buckets
  const wanted = span / Math.max(1, most)
  const nice = NICE_MS.find((ms) => ms >= wanted && ms % axis.stepMs === 0)
  const stepMs = nice ?? Math.ceil(wanted / axis.stepMs) * axis.stepMs
  const groups: Group[] = []
  for (let at = 0; at < axis.buckets; ) {
    const startMs = Math.floor((axis.startMs + at * axis.stepMs) / stepMs) * stepMs
    const to = Math.min(axis.buckets, Math.max(at + 1, Math.round((startMs + stepMs - axis.startMs) / axis.stepMs)))
    groups.push({ startMs, from: at, to })
    at = to
  }
  return { stepMs, groups }
}

export interface Group {
  /** Of the whole group, even where the axis has only its end. */
  readonly startMs: number
  readonly from: number
  readonly to: number
}

export const sumOf = (column: readonly number[], { from, to }: Group): number => {
  let sum = 0
  for (let at = from; at < to; at++) sum += column[at] ?? 0
  return sum
}

/** Each bucket counts by what it is a mean of; a group without a value is a gap. */
export function meanOf(
  column: readonly (number | null)[],
  weights: readonly number[],
  { from, to }: Group,
): number | null {
  let sum = 0
  let all = 0
  for (let at = from; at < to; at++) {
    const value = column[at]
    if (value == null) continue
    const weight = Math.max(1, weights[at] ?? 1)
    sum += value * weight
    all += weight
  }
  return all === 0 ? null : sum / all
}

export interface AxisMark {
  readonly atMs: number
  readonly shape: Shape
  readonly words: string
}

const SHAPES: Readonly<Record<ChangeRow['kind'], Shape>> = {
  config: 'config',
  key: 'config',
  'deployment-out': 'bad',
  'deployment-back': 'well',
  bench: 'bench',
  look: 'none',
  operator: 'config',
  node: 'warn',
}
export const shapeOf = (kind: ChangeRow['kind']): Shape => SHAPES[kind]

const ENDS: Partial<Record<ChangeRow['kind'], string>> = { 'deployment-out': ' out', 'deployment-back': ' back' }

/** Of a mark's label, in characters. */
const MOST_WORDS = 20

/** What a change is of: "config 41", "vllm-b", "tenant acme". */
const subjectOf = ({ words, kind }: ChangeRow): string =>
  (words.find(({ strong }) => strong) ?? words[0])?.text.trim() ?? kind

/** Looks at text, keys, and what was done to one job, change no curve. */
const isMark = (change: ChangeRow): boolean =>
  change.kind !== 'look' && change.kind !== 'key' && !/^job /i.test(subjectOf(change))

/** The changes of an axis, oldest first. */
export const marksOf = (changes: readonly ChangeRow[], axis: Axis): readonly AxisMark[] =>
  changes
    .filter((change) => change.atMs >= axis.startMs && change.atMs < endOf(axis) && isMark(change))
    .map((change) => {
      const subject = subjectOf(change)
      const short = subject.length > MOST_WORDS ? `${subject.slice(0, MOST_WORDS - 1)}…` : subject
      return { atMs: change.atMs, shape: SHAPES[change.kind], words: short + (ENDS[change.kind] ?? '') }
    })
    .sort((one, other) => one.atMs - other.atMs)

/** Labels at wanted heights, moved apart so that none covers another; order is kept. */
export function spread(wanted: readonly number[], gap: number, low: number, high: number): readonly number[] {
  const order = wanted.map((_, at) => at).sort((one, other) => wanted[one] - wanted[other])
  const placed = [...wanted]
  let least = low
  for (const at of order) {
    placed[at] = Math.max(wanted[at], least)
    least = placed[at] + gap
  }
  let most = high
  for (const at of order.reverse()) {
    placed[at] = Math.min(placed[at], most)
    most = placed[at] - gap
  }
  return placed
}
