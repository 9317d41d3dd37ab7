/** One axis for all rows of a job: ms since it was accepted. It always fits its width. */
import type { JobTrace, ReaderSpan } from '../../../../src/core/live.ts'

export interface Axis {
  readonly endMs: number
  readonly ticks: readonly number[]
}

/** What goes on ends now. */
export function axisOf(trace: JobTrace, nowMs: number): Axis {
  const { row, spans, attempts, readers, stored, shown } = trace
  const ends = [
    row.totalMs ?? 0,
    row.ttftMs ?? 0,
    ...(spans ?? []).map(({ toMs }) => toMs ?? 0),
    ...attempts.flatMap((attempt) => attempt.spans.map(({ toMs }) => toMs ?? 0)),
    ...readers.map(({ toMs }) => toMs ?? 0),
    stored.at(-1)?.[0] ?? 0,
    shown.at(-1)?.[0] ?? 0,
    row.totalMs === null && row.error === null ? nowMs - row.acceptedAtMs : 0,
  ]
  const endMs = Math.max(1, ...ends)
  return { endMs, ticks: ticksOf(endMs) }
}

const STEPS = [1, 2, 5]

/** Round numbers, 5 to 12 of them, from 0. */
export function ticksOf(endMs: number): readonly number[] {
  let step = 1
  for (let at = 0; endMs / step > 12; at++) step = STEPS[at % 3] * 10 ** Math.floor(at / 3)
  return Array.from({ length: Math.floor(endMs / step) + 1 }, (_, at) => at * step)
}

/** 0 to 1, however odd the times are. */
export const shareOf = (ms: number, { endMs }: Axis): number => Math.min(1, Math.max(0, ms / endMs))

export const percentOf = (share: number): string => `${(share * 100).toFixed(3)}%`

/** A time in which nobody read, though somebody had. */
export interface Cut {
  readonly fromMs: number
  /** Null: still. */
  readonly toMs: number | null
  /** The last token that was shown before. */
  readonly atToken: number
  /** Stored meanwhile. */
  readonly tokens: number
}

/** A reader that ended before the job did, until the next one comes. Overlapping readers are no cut. */
export function cutsOf({ readers, stored, shown, row }: JobTrace, endMs: number): readonly Cut[] {
  const cuts: Cut[] = []
  const inOrder = [...readers].sort((one, other) => one.fromMs - other.fromMs)
  const isOver = row.totalMs !== null
  for (const [at, reader] of inOrder.entries()) {
    if (reader.toMs === null || reader.complete) continue
    const { toMs: fromMs } = reader
    if (inOrder.some((other) => other !== reader && isIn(other, fromMs))) continue
    const next = inOrder.slice(at + 1).find((other) => other.fromMs >= fromMs)
    if (next === undefined && isOver && fromMs >= (row.totalMs ?? 0)) continue
    const toMs = next?.fromMs ?? null
    const atToken = heightAt(shown.length > 0 ? shown : stored, fromMs)
    const tokens = Math.max(0, heightAt(stored, toMs ?? endMs) - atToken)
    // Whoever left when there was nothing more to come missed nothing
    if (next === undefined && isOver && tokens === 0) continue
    cuts.push({ fromMs, toMs, atToken, tokens })
  }
  return cuts
}

const isIn = ({ fromMs, toMs }: ReaderSpan, ms: number): boolean => fromMs <= ms && (toMs === null || toMs > ms)

/** Tokens at a time, between two points by a line. */
export function heightAt(curve: JobTrace['stored'], ms: number): number {
  const after = curve.findIndex(([at]) => at > ms)
  if (after === -1) return curve.at(-1)?.[1] ?? 0
  if (after === 0) return 0
  const [fromMs, from] = curve[after - 1]
  const [toMs, to] = curve[after]
  return Math.round(toMs === fromMs ? from : from + ((to - from) * (ms - fromMs)) / (toMs - fromMs))
}

/**
 * What was shown, with its cuts as they were: flat while nobody read, then all that waited at once. The recorder's own
 * points are some way apart, and would draw a slope there.
 */
export function stepped({ shown, stored }: JobTrace, cuts: readonly Cut[]): JobTrace['shown'] {
  let curve = shown
  for (const { fromMs, toMs, atToken } of cuts) {
    const before = curve.filter(([ms]) => ms <= fromMs)
    if (toMs === null) {
      curve = [...before, [fromMs, atToken]]
      break
    }
    const after = curve.filter(([ms]) => ms > toMs)
    curve = [...before, [fromMs, atToken], [toMs, atToken], [toMs, heightAt(stored, toMs)], ...after]
  }
  return curve
}

/** As points of a 1000 × 100 picture, from the bottom up. */
export function pathOf(curve: JobTrace['stored'], axis: Axis, most: number): string {
  return curve
    .map(([ms, tokens]) => `${(shareOf(ms, axis) * 1000).toFixed(2)},${(100 - (tokens / most) * 100).toFixed(2)}`)
    .join(' ')
}
