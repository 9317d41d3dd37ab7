/** Our numbers as Prometheus knows them: names with base units, and the bucket lists of histograms. */
import { BUCKETS, bucketBound } from '../../core/numbers.ts'
import type { Reading } from '../registry.ts'

/** A number as it is exposed. */
export interface Exposed {
  /** "sluice_ttft_seconds": without the `_total` of a counter. */
  readonly name: string
  /** "seconds"; empty: none. */
  readonly unit: string
  /** A value times this is in that unit. */
  readonly scale: number
}

const UNITS: ReadonlyArray<readonly [ours: string, unit: string, scale: number]> = [
  ['_ms', 'seconds', 1e-3],
  ['_nano_dollars', 'dollars', 1e-9],
  ['_bytes', 'bytes', 1],
  ['_seconds', 'seconds', 1],
]

export function exposed(name: string): Exposed {
  for (const [ours, unit, scale] of UNITS)
    if (name.endsWith(ours)) return { name: `sluice_${name.slice(0, -ours.length)}_${unit}`, unit, scale }
  return { name: `sluice_${name}`, unit: '', scale: 1 }
}

/** Totals for people who read /admin/stats. A family tells the same apart by labels, so they would be there twice. */
const TOLD_APART = new Set(
  (
    'requests requests_refused jobs_submitted jobs_joined jobs_refused jobs_done jobs_failed jobs_canceled ' +
    'jobs_expired job_queued_ms job_ttft_ms job_tpot_ms job_total_ms attempts attempts_failed prompt_tokens ' +
    'completion_tokens first_token_shown_ms'
  ).split(' '),
)
export const isExposed = ({ name, labels }: Pick<Reading, 'name' | 'labels'>): boolean =>
  labels !== undefined || !(TOLD_APART.has(name) || name.startsWith('limit_refusals_'))

// ---------------------------------------------------------------- buckets

/**
 * Those of OpenTelemetry's generative AI conventions, and more: theirs end at 10 s for a first token, and begin at 10
 * ms for a token; and near the goals (1.5 s, 50 ms) they are so far apart that a percentile read from them is told as
 * missed where it was met. Upper bounds, in the number's unit.
 */
const TTFT = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10,
  15, 20, 30, 45, 60, 120,
]
const TPOT = [
  0.001, 0.002, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.15, 0.2, 0.3,
  0.4, 0.5, 0.75, 1, 2.5,
]
const DURATION = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36,
  1310.72,
]
/** Of a line: it has OpenTelemetry's durations, and hours. */
const QUEUE = [0.001, 0.0025, 0.005, ...DURATION, 3600, 14_400, 86_400]
/** Of what is ours: fractions of a millisecond. */
const OWN = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const RATIO = [1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128]

/** Of a call's tokens, for OpenTelemetry. */
const TOKENS = Array.from({ length: 14 }, (_, i) => 4 ** i)

const LISTS: Readonly<Record<string, readonly number[]>> = {
  ttft_ms: TTFT,
  client_ttft_ms: TTFT,
  ttft_part_ms: [0.0001, 0.0005, ...TTFT],
  tpot_ms: TPOT,
  turn_ms: QUEUE,
  queue_ms: QUEUE,
  overhead_ms: OWN,
  commit_ms: OWN,
  sync_ms: OWN,
  loop_delay_ms: OWN,
  intake_confirm_ms: OWN,
  tokens_per_chunk: RATIO,
  call_tokens: TOKENS,
  call_first_chunk_ms: DURATION,
}

/** The bounds of a histogram, and for each of our buckets the first of them that holds all of it. */
export interface Bounds {
  /** "0.001"; with a point, as OpenMetrics wants them. */
  readonly upper: readonly string[]
  readonly of: Uint8Array
}

const known = new Map<string, Bounds>()

export function boundsOf(name: string, scale: number): Bounds {
  const found = known.get(name)
  if (found !== undefined) return found
  const upper = LISTS[name] ?? DURATION
  // A bucket that reaches beyond a bound counts under the next one: what is read from them is never too low
  const of = Uint8Array.from({ length: BUCKETS }, (_, bucket) => {
    const at = upper.findIndex((bound) => bucketBound(bucket) * scale <= bound * (1 + 1e-9))
    return at < 0 ? upper.length : at
  })
  const text = (bound: number): string => (Number.isInteger(bound) ? `${bound}.0` : String(bound))
  const bounds = { upper: upper.map(text), of }
  known.set(name, bounds)
  return bounds
}
