/**
 * Runs of the benchmark against a simulated server, in virtual time: so many slots, a queue before them, a prefill, and
 * a pace. What was true of each request is known, and told as a server would.
 */
import type { MeasuredRun } from '../../src/bench/effects.ts'
import { type BenchRecord, RECORD_VERSION, type ServerTimings } from '../../src/bench/record.ts'
import type { BenchRun } from '../../src/bench/run.ts'
import { seeded } from '../../src/bench/statistics.ts'

export interface System {
  readonly slots: number
  readonly prefillMs: number
  readonly paceMs: number
  /** Before it is let in, whatever is free. */
  readonly holdMs: number
  readonly networkMs: number
  readonly deliveryMs: number
  /** Spread of prefill and pace from one request to the next: of a run's own, not of its prompts. */
  readonly noise: number
  readonly errorShare: number
  readonly tells: 'server' | 'engine' | 'metrics' | 'nothing'
}

export const SYSTEM: System = {
  slots: 16,
  prefillMs: 150,
  paceMs: 20,
  holdMs: 0,
  networkMs: 4,
  deliveryMs: 1,
  noise: 0.05,
  errorShare: 0,
  tells: 'server',
}

export interface Trial {
  /** Of arrivals and prompts: the same in two runs that are to be pairs. */
  readonly seed: number
  /** Of what differs from run to run in the same system. */
  readonly noiseSeed: number
  /** Of the slots, 0.7 */
  readonly load: number
  readonly rounds: number
  readonly requests: number
  readonly system: System
  readonly label?: string
  /** The load is that of this system. Absent: of `system` itself. */
  readonly loadOf?: System
}

/** Of an answer's length, in tokens. */
const MEAN_TOKENS = 80
const IDLE = 20

/** An exponential, and a normal by the sum of twelve. */
const exponential = (next: () => number): number => -Math.log(1 - next())
const normal = (next: () => number): number => {
  let sum = -6
  for (let i = 0; i < 12; i++) sum += next()
  return sum
}

export function simulate(trial: Trial): MeasuredRun {
  const { seed, noiseSeed, rounds, requests, system, label = 'run' } = trial
  const noise = seeded(noiseSeed * 7_919 + 13)
  const records: BenchRecord[] = []
  for (let index = 0; index < IDLE; index++)
    records.push(...served([{ at: 0, tokens: MEAN_TOKENS }], system, noise, 'idle', 0, seed))
  const sums: BenchRun['rounds'][number][] = []
  for (let round = 0; round < rounds; round++) {
    const next = seeded(seed * 104_729 + round)
    const { prefillMs, paceMs, slots } = trial.loadOf ?? system
    const gapMs = (prefillMs + MEAN_TOKENS * paceMs) / (trial.load * slots)
    let at = 0
    const asked = Array.from({ length: requests }, () => {
      at += exponential(next) * gapMs
      // Most answers are short, a few long
      const tokens = Math.max(8, Math.round(MEAN_TOKENS * (0.4 + 0.6 * exponential(next))))
      return { at, tokens }
    })
    const made = served(asked, system, noise, 'round', round, seed)
    records.push(...made)
    sums.push(roundSummary(round, seed, made, 1_000 / gapMs, system))
  }
  return { run: runOf(label, seed, trial.load, sums), records }
}

interface Asked {
  readonly at: number
  readonly tokens: number
}

function served(
  asked: readonly Asked[],
  system: System,
  noise: () => number,
  phase: 'idle' | 'round',
  round: number,
  seed: number,
): BenchRecord[] {
  const { slots, prefillMs, paceMs, holdMs, networkMs, deliveryMs } = system
  const freeAt = Array<number>(slots).fill(0)
  const vary = (ms: number): number => ms * Math.max(0.2, 1 + system.noise * normal(noise))
  return asked.map(({ at, tokens }, index) => {
    const isBroken = noise() < system.errorShare
    let slot = 0
    for (let i = 1; i < slots; i++) if (freeAt[i] < freeAt[slot]) slot = i
    const arrived = at + networkMs / 2
    const start = Math.max(arrived + holdMs, freeAt[slot])
    const prefill = vary(prefillMs)
    const pace = vary(paceMs)
    const firstMade = start + prefill
    const lastMade = firstMade + (tokens - 1) * pace
    freeAt[slot] = lastMade
    const firstToken = firstMade + deliveryMs + networkMs / 2
    const lastToken = lastMade + deliveryMs + networkMs / 2
    const queue = start - arrived
    return {
      v: RECORD_VERSION,
      id: `${round}.${index}`,
      serverId: null,
      phase,
      round,
      index,
      scheduled: at,
      sent: at,
      connected: null,
      firstByte: isBroken ? null : firstToken,
      firstToken: isBroken ? null : firstToken,
      firstOutput: isBroken ? null : firstToken,
      lastToken: isBroken ? null : lastToken,
      end: lastToken,
      chunks: tokens,
      tokens: { prompt: 100, cached: 0, completion: tokens, reasoning: null, source: 'usage' },
      chars: tokens * 4,
      firstChunkTokens: 1,
      isFirstChunkExact: true,
      firstChunkChars: 4,
      maxGap: pace,
      outcome: isBroken ? 'error' : 'ok',
      status: isBroken ? 500 : 200,
      errorCode: isBroken ? 'provider_error' : null,
      finishReason: isBroken ? null : 'stop',
      attempt: 1,
      cache: null,
      server: toldBy(system, queue, prefill, pace, tokens),
      promptHash: `${seed}.${round}.${index}`,
      promptChars: 400,
      askedTokens: tokens,
    }
  })
}

function toldBy(
  { tells, deliveryMs }: System,
  queue: number,
  prefill: number,
  pace: number,
  tokens: number,
): ServerTimings | null {
  if (tells === 'engine') return { engine: { queue, prefill, decode: pace * (tokens - 1) } }
  if (tells !== 'server') return null
  const parts = { admission: 0, queue, retries: 0, routing: 0, connect: 0, upstream: prefill, delivery: deliveryMs }
  return { parts, ttft: queue + prefill + deliveryMs, tpot: pace }
}

function roundSummary(
  round: number,
  seed: number,
  made: readonly BenchRecord[],
  rate: number,
  system: System,
): BenchRun['rounds'][number] {
  const sum = (value: (record: BenchRecord) => number): number => made.reduce((all, record) => all + value(record), 0)
  const firstMade = (record: BenchRecord): number => record.firstToken! - system.deliveryMs - system.networkMs / 2
  const prefillMs = made.length * system.prefillMs
  return {
    round,
    seed,
    rate,
    concurrency: null,
    fromAtMs: 0,
    sendMs: made.at(-1)!.sent,
    tookMs: made.at(-1)!.end,
    requests: made.length,
    ok: made.filter(({ outcome }) => outcome === 'ok').length,
    sentRate: rate,
    lagP50Ms: 0.1,
    lagP99Ms: 0.5,
    cpuShare: 0.1,
    loopLagP99Ms: 0.5,
    keptShare: 1,
    promptsHash: `${seed}.${round}`,
    engine:
      system.tells === 'metrics'
        ? {
            requests: made.length,
            queueMs: sum((record) => firstMade(record) - record.sent - system.networkMs / 2) - prefillMs,
            prefillMs,
            decodeMs: sum((record) => record.lastToken! - record.firstToken!),
          }
        : null,
  }
}

const runOf = (label: string, seed: number, load: number, rounds: BenchRun['rounds']): BenchRun => ({
  v: 1,
  kind: 'run',
  id: `bench_${label}`,
  label,
  startedAtMs: 1_750_000_000_000,
  tookMs: 60_000,
  fingerprint: {
    sluice: '0.1.0',
    node: '24',
    platform: 'test',
    cpus: 2,
    server: null,
    models: [],
    rtt: { p50Ms: 4, minMs: 4, connects: 5 },
    configHash: null,
    region: null,
  },
  options: {
    target: 'http://127.0.0.1:4100',
    model: 'demo',
    api: 'chat',
    stream: true,
    workload: 'chat',
    load: { kind: 'open', rate: load, arrivals: { kind: 'poisson' } },
    rounds: rounds.length,
    roundRequests: rounds[0]?.requests ?? 0,
    roundMs: null,
    idle: IDLE,
    seed,
    slo: [],
    label,
    maxCostUsd: null,
  },
  phases: [],
  client: null,
  validity: { isValid: true, checks: [] },
  rounds,
  saturation: null,
  costUsd: null,
  brokenOff: null,
  importedFrom: null,
})
