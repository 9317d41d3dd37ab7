/**
 * Does a run count? One in which the client was the bottleneck, or which was not the load that was asked for, is
 * INVALID, not just remarked on. Limits and why: docs/bench.md.
 */
import { milliseconds, percent } from './format.ts'
import type { BenchRecord } from './record.ts'
import type { RoundSummary, ValidityCheck } from './run.ts'
import { codesText, summarize } from './summary.ts'

const LAG_OF_TTFT = 0.05
/** Timers fire by the millisecond: below this nothing is blamed on the client. */
const LAG_FLOOR_MS = 5
const MAX_CPU = 0.8
const MIN_RATE = 0.98
const MIN_KEPT = 0.9
/** Of the mean TTFT, for connecting: what it adds is below notice. */
const CONNECT_OF_TTFT = 0.01
const MAX_ERRORS = 0.05
const MIN_OK = 10
const MAX_TOKENS_A_CHUNK = 1.5

export function validityOf(rounds: readonly RoundSummary[], records: readonly BenchRecord[], isSweep = false) {
  const checks = [
    requests(rounds, records),
    lag(rounds, records),
    cpu(rounds),
    rate(rounds),
    connections(rounds, records),
    errors(records, isSweep),
    tokens(records),
    bundled(records),
  ].filter((check) => check !== null)
  return { isValid: checks.every(({ isMet, decides }) => isMet || !decides), checks }
}

const decisive = (name: string, isMet: boolean, text: string): ValidityCheck => ({ name, isMet, decides: true, text })
const remark = (name: string, isMet: boolean, text: string): ValidityCheck => ({ name, isMet, decides: false, text })
const worst = (rounds: readonly RoundSummary[], of: (round: RoundSummary) => number): number =>
  rounds.reduce((most, round) => Math.max(most, of(round)), 0)

function requests(rounds: readonly RoundSummary[], records: readonly BenchRecord[]): ValidityCheck {
  const fewest = rounds.length === 0 ? 0 : Math.min(...rounds.map(({ ok }) => ok))
  const text = `${records.length} requests in ${rounds.length} rounds, at least ${fewest} of each ended well`
  return decisive('requests', rounds.length > 0 && fewest > 0, `${text}${fewest < MIN_OK ? ': few to judge by' : ''}`)
}

function lag(rounds: readonly RoundSummary[], records: readonly BenchRecord[]): ValidityCheck | null {
  if (rounds.every(({ rate: asked }) => asked === null)) return null
  const p50 = summarize(records, 0, []).ttft.p50 ?? 0
  const limit = Math.max(LAG_FLOOR_MS, p50 * LAG_OF_TTFT)
  const p99 = worst(rounds, ({ rate: asked, lagP99Ms }) => (asked === null ? 0 : lagP99Ms))
  const why = limit === LAG_FLOOR_MS ? '' : ', 5 % of TTFT p50'
  return decisive('lag', p99 <= limit, `client lag p99 ${milliseconds(p99)} (limit ${milliseconds(limit)}${why})`)
}

function cpu(rounds: readonly RoundSummary[]): ValidityCheck {
  const share = worst(rounds, ({ cpuShare }) => cpuShare)
  return decisive('cpu', share <= MAX_CPU, `client CPU ${percent(share)} of a core (limit ${percent(MAX_CPU)})`)
}

function rate(rounds: readonly RoundSummary[]): ValidityCheck | null {
  const shares = rounds.flatMap(({ rate: asked, sentRate }) => (asked === null ? [] : [sentRate / asked]))
  if (shares.length === 0) return null
  const least = Math.min(...shares)
  return decisive('rate', least >= MIN_RATE, `${percent(least)} of the rate was sent (at least ${percent(MIN_RATE)})`)
}

function connections(rounds: readonly RoundSummary[], records: readonly BenchRecord[]): ValidityCheck | null {
  if (rounds.length === 0) return null
  const least = Math.min(...rounds.map(({ keptShare }) => keptShare))
  const cost = records.reduce((sum, { connected, sent }) => sum + (connected === null ? 0 : connected - sent), 0)
  const mean = cost / Math.max(1, records.length)
  const limit = (summarize(records, 0, []).ttft.mean ?? 0) * CONNECT_OF_TTFT
  const text = `${percent(least)} of requests on kept connections (at least ${percent(MIN_KEPT)})`
  const isCheap = least < MIN_KEPT && mean <= limit
  return decisive(
    'connections',
    least >= MIN_KEPT || isCheap,
    isCheap ? `${text}; connecting added ${milliseconds(mean)}, below 1 % of TTFT` : text,
  )
}

/** A sweep ends in saturation on purpose. */
function errors(records: readonly BenchRecord[], isSweep: boolean): ValidityCheck {
  const { errorShare, errors: codes } = summarize(records, 0, [])
  const more = codes.length === 0 ? '' : `: ${codesText(codes)}`
  const text = `${percent(errorShare)} of requests failed (limit ${percent(MAX_ERRORS)})${more}`
  return { name: 'errors', isMet: errorShare <= MAX_ERRORS, decides: !isSweep, text }
}

function tokens(records: readonly BenchRecord[]): ValidityCheck | null {
  const { estimatedShare } = summarize(records, 0, [])
  if (estimatedShare === 0) return null
  return remark(
    'tokens',
    false,
    `the server told no usage in ${percent(estimatedShare)}: their tokens are estimated (~)`,
  )
}

function bundled(records: readonly BenchRecord[]): ValidityCheck | null {
  const { tokensAChunk } = summarize(records, 0, [])
  if (tokensAChunk === null || tokensAChunk <= MAX_TOKENS_A_CHUNK) return null
  const text = `${tokensAChunk.toFixed(1)} tokens a chunk: gaps between chunks are no times between tokens`
  return remark('bundled', false, text)
}
