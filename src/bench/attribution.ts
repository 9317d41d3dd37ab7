/**
 * Where a difference went. Means add up and percentiles do not: the mean of all requests is taken apart, and for a p95
 * the mean of those at or above it. What the sources do not tell is `unexplained`, and always there.
 */
import type { Attribution, Part } from '../core/comparison.ts'
import { type MeasuredRun, tpotOfRecord, ttftOfRecord } from './effects.ts'
import { ascending, mean, quantile } from './quantile.ts'
import type { BenchRecord, ServerTimings } from './record.ts'

type Source = Attribution['source']
type Makeup = { readonly [part in Part]?: number }

/** A source is used where it tells of so many of the requests, in both runs. */
const MIN_COVERED = 0.8

/** Ways to take a request's TTFT or TPOT apart: the best one first. */
interface Way {
  readonly source: Source
  /** Does it tell of this request? */
  readonly tells: (record: BenchRecord, run: Known) => boolean
  /** All but `unexplained`, which is the rest. */
  readonly apart: (record: BenchRecord, total: number, run: Known) => Makeup
}

/** What is known of a run as a whole. */
interface Known {
  /** Between client and server and back, ms; null: not measured. */
  readonly rttMs: number | null
  /** Of single requests, one at a time; null: there were none. */
  readonly idleTtftMs: number | null
  readonly idleTpotMs: number | null
  /** Of an engine's /metrics, by round: means over its requests. */
  readonly engine: ReadonlyMap<
    number,
    { readonly queueMs: number; readonly prefillMs: number; readonly tpotMs: number }
  >
}

// ---------------------------------------------------------------- ways

/** Sluice's own parts; where it has told of its engine too, what it waited for that one is taken apart further. */
const server: Way = {
  source: 'server',
  tells: ({ server }) => server?.parts?.queue !== undefined && server.parts.upstream !== undefined,
  apart: (record, total, run) => {
    const { parts = {}, engine } = record.server!
    const upstream = parts.upstream ?? 0
    const engineQueue = Math.min(engine?.queue ?? 0, upstream)
    const prefill =
      engine?.prefill === undefined ? upstream - engineQueue : Math.min(engine.prefill, upstream - engineQueue)
    const inside = Object.values(parts).reduce((sum, part) => sum + (part ?? 0), 0)
    return {
      queue: (parts.turn ?? 0) + (parts.queue ?? 0) + engineQueue,
      gateway: (parts.admission ?? 0) + (parts.routing ?? 0),
      retries: parts.retries ?? 0,
      network: outside(record, total - inside, run) + (parts.connect ?? 0) + (upstream - engineQueue - prefill),
      prefill,
      delivery: parts.delivery ?? 0,
    }
  },
}

/** An engine that is called directly, and tells of single requests. */
const engine: Way = {
  source: 'engine',
  tells: ({ server }) => server?.engine?.prefill !== undefined,
  apart: (record, total, run) => {
    const { queue = 0, prefill = 0 } = record.server!.engine!
    return { queue, network: outside(record, total - queue - prefill, run), prefill }
  },
}

const metrics: Way = {
  source: 'metrics',
  tells: ({ round }, { engine }) => engine.has(round),
  apart: (record, total, run) => {
    const { queueMs, prefillMs } = run.engine.get(record.round)!
    return { queue: queueMs, network: outside(record, total - queueMs - prefillMs, run), prefill: prefillMs }
  },
}

/** Nobody told anything: what there is beyond an idle request is waiting of some kind. */
const idle: Way = {
  source: 'idle',
  tells: (_record, { idleTtftMs }) => idleTtftMs !== null,
  apart: (record, total, run) => {
    const floor = run.idleTtftMs!
    const network = Math.min(floor, outside(record, floor, run))
    return { network, prefill: floor - network, contention: total - floor }
  },
}

/**
 * Of the time outside the server: the connection, and a round trip at most. What goes beyond is a busy client, a proxy
 * between them or a server that did not read: nobody has measured it.
 */
function outside(record: BenchRecord, restMs: number, { rttMs }: Known): number {
  const connect = record.connected === null ? 0 : Math.max(0, record.connected - record.sent)
  const path = Math.max(0, restMs - connect)
  return connect + (rttMs === null ? path : Math.min(path, rttMs))
}

const TTFT_WAYS: readonly Way[] = [server, engine, metrics, idle]

/** The pace: what the engine or Sluice saw is the model's, and the rest was added on the way to the reader. */
const TPOT_WAYS: readonly Way[] = [
  paceBy('server', ({ server }) => server?.tpot ?? null),
  paceBy('engine', ({ server, tokens }) => engineTpot(server, tokens.completion)),
  paceBy('metrics', ({ round }, { engine }) => engine.get(round)?.tpotMs ?? null),
  {
    source: 'idle',
    tells: (_record, { idleTpotMs }) => idleTpotMs !== null,
    apart: (_record, total, run) => ({ decode: run.idleTpotMs!, contention: total - run.idleTpotMs! }),
  },
]

function paceBy(source: Source, decodeOf: (record: BenchRecord, run: Known) => number | null): Way {
  return {
    source,
    tells: (record, run) => decodeOf(record, run) !== null,
    apart: (record, total, run) => {
      const decode = decodeOf(record, run)!
      return { decode, delivery: total - decode }
    },
  }
}

const engineTpot = (server: ServerTimings | null, tokens: number): number | null => {
  const told = server?.engine
  if (told?.itl !== undefined) return told.itl
  return told?.decode === undefined || tokens < 2 ? null : told.decode / (tokens - 1)
}

// ---------------------------------------------------------------- runs

/** Of TTFT's mean and p95, and TPOT's mean; what nobody measured is left out. */
export function attributionsOf(before: MeasuredRun, after: MeasuredRun): Attribution[] {
  const known = [knownOf(before), knownOf(after)] as const
  const ttft = [timed(before, ttftOfRecord), timed(after, ttftOfRecord)] as const
  const tpot = [timed(before, tpotOfRecord), timed(after, tpotOfRecord)] as const
  return [
    attribution('ttft-mean', TTFT_WAYS, ttft, known),
    attribution('ttft-p95', TTFT_WAYS, [tailOf(ttft[0]), tailOf(ttft[1])], known),
    attribution('tpot-mean', TPOT_WAYS, tpot, known),
  ].filter((found) => found !== null)
}

interface Timed {
  readonly record: BenchRecord
  readonly totalMs: number
}

const timed = ({ records }: MeasuredRun, totalOf: (record: BenchRecord) => number | null): readonly Timed[] =>
  records.flatMap((record) => {
    const totalMs = record.phase === 'round' && record.outcome === 'ok' ? totalOf(record) : null
    return totalMs === null ? [] : [{ record, totalMs }]
  })

function tailOf(requests: readonly Timed[]): readonly Timed[] {
  const p95 = quantile(ascending(requests.map(({ totalMs }) => totalMs)), 0.95)
  return p95 === null ? [] : requests.filter(({ totalMs }) => totalMs >= p95)
}

function knownOf({ run, records }: MeasuredRun): Known {
  const alone = records.filter(({ phase, outcome }) => phase === 'idle' && outcome === 'ok')
  const meanOf = (value: (record: BenchRecord) => number | null): number | null =>
    mean(alone.map(value).filter((found) => found !== null))
  const engine = run.rounds.flatMap(({ round, engine: sums }) => {
    if (sums === null || sums.requests === 0) return []
    const made = records.filter(
      (record) => record.round === round && record.phase === 'round' && record.outcome === 'ok',
    )
    const later = made.reduce((sum, { tokens }) => sum + Math.max(0, tokens.completion - 1), 0)
    const of = (ms: number): number => ms / sums.requests
    const tpotMs = later === 0 ? 0 : (sums.decodeMs * made.length) / sums.requests / later
    return [[round, { queueMs: of(sums.queueMs), prefillMs: of(sums.prefillMs), tpotMs }] as const]
  })
  return {
    rttMs: run.fingerprint.rtt === null ? null : run.fingerprint.rtt.p50Ms + (run.client?.ttftP50Ms ?? 0),
    idleTtftMs: meanOf(ttftOfRecord),
    idleTpotMs: meanOf(tpotOfRecord),
    engine: new Map(engine),
  }
}

type Pair<T> = readonly [before: T, after: T]

/** By the best source that both runs have. */
function attribution(
  of: Attribution['of'],
  ways: readonly Way[],
  requests: Pair<readonly Timed[]>,
  known: Pair<Known>,
): Attribution | null {
  if (requests[0].length === 0 || requests[1].length === 0) return null
  for (const way of ways) {
    // Of a tail nobody knows a mean of the round
    if (of === 'ttft-p95' && way.source === 'metrics') continue
    const covered = Math.min(coveredBy(way, requests[0], known[0]), coveredBy(way, requests[1], known[1]))
    if (covered < MIN_COVERED) continue
    const [before, after] = [makeup(way, requests[0], known[0]), makeup(way, requests[1], known[1])]
    const named = new Set([...before.parts.keys(), ...after.parts.keys()])
    named.delete('unexplained')
    const parts = [...named, 'unexplained' as const].map((part) => {
      const [beforeMs, afterMs] = [before.parts.get(part) ?? 0, after.parts.get(part) ?? 0]
      return { part, beforeMs, afterMs, deltaMs: afterMs - beforeMs }
    })
    const [beforeMs, afterMs] = [before.totalMs, after.totalMs]
    return { of, beforeMs, afterMs, deltaMs: afterMs - beforeMs, parts, source: way.source, covered }
  }
  return null
}

const coveredBy = (way: Way, requests: readonly Timed[], known: Known): number =>
  requests.filter(({ record }) => way.tells(record, known)).length / requests.length

/** Means over these requests: they add up to the mean of the total. */
function makeup(
  way: Way,
  requests: readonly Timed[],
  known: Known,
): { readonly totalMs: number; readonly parts: ReadonlyMap<Part, number> } {
  const sums = new Map<Part, number>()
  const add = (part: Part, value: number): void => void sums.set(part, (sums.get(part) ?? 0) + value)
  let total = 0
  for (const { record, totalMs } of requests) {
    total += totalMs
    let rest = totalMs
    if (way.tells(record, known))
      for (const [part, value] of Object.entries(way.apart(record, totalMs, known))) {
        add(part as Part, value)
        rest -= value
      }
    add('unexplained', rest)
  }
  const parts = new Map([...sums].map(([part, sum]) => [part, sum / requests.length]))
  return { totalMs: total / requests.length, parts }
}
