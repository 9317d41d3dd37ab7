/** Sweep: which rates to try, and when a target is saturated. */
import { quantile } from './quantile.ts'
import type { BenchRecord } from './record.ts'
import { isOk, ttft } from './summary.ts'

/** Rates between one at a time and all at once; the last is a little more than what all at once achieved. */
export function ratesBetween(alone: number, atOnce: number, count: number): number[] {
  const from = Math.min(alone, atOnce)
  const to = Math.max(atOnce, alone) * 1.1
  return Array.from({ length: count }, (_, i) => from + ((to - from) * (i + 1)) / count)
}

const ENDED = 0.9
/** Beside others an answer may take so much longer than alone, and still end in time. */
const SLOWER = 3
const GROWTH = 2
const ERRORS = 0.05

/** Why it can't keep up with a rate; null: it can. `aloneMs`: how long an answer takes when it is the only one. */
export function saturatedBy(
  records: readonly BenchRecord[],
  rate: number,
  sendMs: number,
  aloneMs: number,
): string | null {
  if (records.length === 0) return null
  const ok = records.filter(isOk)
  if (ok.length < records.length * (1 - ERRORS)) return 'more than 5% of the requests failed'
  const inTime = ok.filter(({ end }) => end <= sendMs + SLOWER * aloneMs).length
  if (inTime < ENDED * records.length) return `less than 90% of ${rate.toFixed(1)} requests a second were answered`
  const inOrder = [...ok]
    .sort((a, b) => a.sent - b.sent)
    .map(ttft)
    .filter((value) => value !== null)
  const third = Math.floor(inOrder.length / 3)
  if (third < 5) return null
  const grew = median(inOrder.slice(-third)) > GROWTH * median(inOrder.slice(0, third))
  return grew ? 'TTFT grew all along: more came than was answered' : null
}

const median = (values: readonly number[]): number => quantile(Float64Array.from(values).sort(), 0.5)!
