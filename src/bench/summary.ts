/** What the records of a run come to. Percentiles are of successes; shares are of all that was attempted. */
import { e2eOf, msPerCharOf, type TtftParts, tpotOf, ttftOf } from '../core/measure.ts'
import { ascending, mean, quantile } from './quantile.ts'
import { type BenchRecord, marksOf } from './record.ts'
import type { SloTerm } from './slo.ts'

export interface Spread {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly mean: number | null
  readonly count: number
}

/** Where the mean TTFT went, as far as the server tells; the members add up to it. */
export type TtftMakeup = Readonly<Record<'queue' | 'connect' | 'gateway' | 'prefill' | 'network', number>>

export interface Summary {
  readonly requests: number
  readonly ok: number
  readonly errorShare: number
  /** The codes of what failed, most frequent first. */
  readonly errors: ReadonlyArray<readonly [code: string, count: number]>
  readonly ttft: Spread
  /** From when it was due: what open loops must not leave out. */
  readonly ttftFromSchedule: Spread
  readonly ttfo: Spread
  readonly tpot: Spread
  readonly msPerChar: Spread
  readonly e2e: Spread
  readonly stallMax: Spread
  readonly tokensAChunk: number | null
  /** Share of requests whose tokens were counted by nobody. */
  readonly estimatedShare: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly cachedShare: number | null
  readonly makeup: TtftMakeup | null
  /** Requests that ended well, and output tokens, each second of the rounds. */
  readonly requestsPerSecond: number | null
  readonly tokensPerSecond: number | null
  /** 0 to 1; null: there are no goals. */
  readonly goodput: number | null
}

export const isOk = ({ outcome }: BenchRecord): boolean => outcome === 'ok'
export const ttft = (record: BenchRecord): number | null => ttftOf(marksOf(record))
export const tpot = (record: BenchRecord): number | null => tpotOf(marksOf(record))
export const e2e = (record: BenchRecord): number | null => e2eOf(marksOf(record))
export const msPerChar = (record: BenchRecord): number | null =>
  msPerCharOf(marksOf(record), record.chars, record.firstChunkChars)
export const fromSchedule = ({ firstToken, scheduled }: BenchRecord): number | null =>
  firstToken === null ? null : firstToken - scheduled

export function spreadOf(values: Iterable<number | null>): Spread {
  const sorted = ascending(values)
  return {
    p50: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    p99: quantile(sorted, 0.99),
    mean: mean([...sorted]),
    count: sorted.length,
  }
}

/** `tookMs`: the rounds' together, until the last request of each had ended. */
export function summarize(records: readonly BenchRecord[], tookMs: number, slo: readonly SloTerm[]): Summary {
  const ok = records.filter(isOk)
  const spread = (of: (record: BenchRecord) => number | null): Spread => spreadOf(ok.map(of))
  const chunks = ok.reduce((sum, each) => sum + each.chunks, 0)
  const output = ok.reduce((sum, { tokens }) => sum + tokens.completion, 0)
  const prompt = ok.reduce((sum, { tokens }) => sum + (tokens.prompt ?? 0), 0)
  const cached = ok.filter(({ tokens }) => tokens.cached !== null)
  return {
    requests: records.length,
    ok: ok.length,
    errorShare: records.length === 0 ? 0 : 1 - ok.length / records.length,
    errors: errorsOf(records),
    ttft: spread(ttft),
    ttftFromSchedule: spread(fromSchedule),
    ttfo: spread(({ firstOutput, sent }) => (firstOutput === null ? null : firstOutput - sent)),
    tpot: spread(tpot),
    msPerChar: spread(msPerChar),
    e2e: spread(e2e),
    stallMax: spread(({ maxGap }) => maxGap),
    tokensAChunk: chunks === 0 ? null : output / chunks,
    estimatedShare: ok.length === 0 ? 0 : ok.filter(({ tokens }) => tokens.source === 'estimate').length / ok.length,
    promptTokens: prompt,
    outputTokens: output,
    cachedShare:
      cached.length === 0 || prompt === 0 ? null : cached.reduce((sum, { tokens }) => sum + tokens.cached!, 0) / prompt,
    makeup: makeupOf(ok),
    requestsPerSecond: tookMs > 0 ? (ok.length / tookMs) * 1_000 : null,
    tokensPerSecond: tookMs > 0 ? (output / tookMs) * 1_000 : null,
    goodput: goodputOf(records, slo),
  }
}

/** "route_not_found 20, timeout 1": the most frequent of those that failed. */
export const codesText = (errors: Summary['errors']): string =>
  errors
    .slice(0, 3)
    .map(([code, count]) => `${code} ${count}`)
    .join(', ')

function errorsOf(records: readonly BenchRecord[]): Array<readonly [string, number]> {
  const counts = new Map<string, number>()
  for (const { outcome, errorCode } of records) {
    if (outcome === 'ok') continue
    const code = errorCode ?? outcome
    counts.set(code, (counts.get(code) ?? 0) + 1)
  }
  return [...counts].sort(([, a], [, b]) => b - a)
}

const GATEWAY = ['admission', 'routing', 'retries', 'delivery'] as const satisfies Array<keyof TtftParts>

/**
 * By what the gateway tells of its phases, and the engine of its queue; of an engine alone, by its queue and prefill.
 * Null where fewer than half tell: a mean of those would be of another load.
 */
export function makeupOf(ok: readonly BenchRecord[]): TtftMakeup | null {
  const told = ok.map(partsOf).filter((parts) => parts !== null)
  if (told.length === 0 || told.length < ok.length / 2) return null
  const sums = { queue: 0, connect: 0, gateway: 0, prefill: 0, network: 0 }
  for (const name of Object.keys(sums) as Array<keyof typeof sums>)
    sums[name] = told.reduce((sum, parts) => sum + parts[name], 0) / told.length
  return sums
}

function partsOf(record: BenchRecord): TtftMakeup | null {
  const { parts, engine } = record.server ?? {}
  const all = ttft(record)
  if (all === null) return null
  if (parts === undefined) {
    if (engine?.prefill === undefined) return null
    const { queue = 0, prefill } = engine
    const connect = record.connected === null ? 0 : record.connected - record.sent
    return { queue, connect, gateway: 0, prefill, network: all - queue - prefill - connect }
  }
  const { turn = 0, connect = 0, upstream = 0 } = parts
  const queue = turn + (parts.queue ?? 0)
  const gateway = GATEWAY.reduce((sum, name) => sum + (parts[name] ?? 0), 0)
  const inEngine = Math.min(engine?.queue ?? 0, upstream)
  const network = all - queue - connect - upstream - gateway
  return { queue: queue + inEngine, connect, gateway, prefill: upstream - inEngine, network }
}

/** Goals of single requests: TTFT, TPOT and E2E. All must hold. */
function goodputOf(records: readonly BenchRecord[], slo: readonly SloTerm[]): number | null {
  const goals = slo.filter(({ metric, is }) => metric !== 'error' && metric !== 'goodput' && is === '<')
  if (goals.length === 0 || records.length === 0) return null
  const good = records.filter(
    (record) =>
      isOk(record) && goals.every(({ metric, limit }) => (OF[metric as keyof typeof OF](record) ?? 0) < limit),
  )
  return good.length / records.length
}

const OF = { ttft, tpot, e2e } as const

/** Does the whole meet a condition? Null: there is nothing to judge it by. */
export function isMet(term: SloTerm, records: readonly BenchRecord[], summary: Summary): boolean | null {
  const value = termValue(term, records, summary)
  return value === null ? null : term.is === '<' ? value < term.limit : value > term.limit
}

export function termValue({ metric, quantile: q }: SloTerm, records: readonly BenchRecord[], summary: Summary) {
  if (metric === 'error') return summary.errorShare
  if (metric === 'goodput') return summary.goodput
  const sorted = ascending(records.filter(isOk).map(OF[metric]))
  return q === null ? mean([...sorted]) : quantile(sorted, q)
}
