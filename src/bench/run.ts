/** A run of the benchmark, as `run.json` tells of it: what was run, on what, whether it counts. Types alone. */
import type { SloTerm } from './slo.ts'

export const RUN_VERSION = 1

export type Api = 'chat' | 'completions' | 'responses' | 'messages' | 'jobs' | 'ws'
export type Arrivals =
  | { readonly kind: 'poisson' }
  | { readonly kind: 'constant' }
  /** 1 is Poisson; below 1: in bursts. */
  | { readonly kind: 'gamma'; readonly shape: number }
  /** When the trace says; a speed of 2 takes half the time. */
  | { readonly kind: 'trace'; readonly speed: number }

export type Load =
  /** Open loop: sent when due, whatever became of those before. */
  | { readonly kind: 'open'; readonly rate: number; readonly arrivals: Arrivals }
  /** Closed loop: so many at once, the next when one has ended. */
  | { readonly kind: 'closed'; readonly concurrency: number }
  /** One at a time, all at once, then rates between. */
  | { readonly kind: 'sweep' }

export interface RunOptions {
  /** Origin and path, without credentials and query. */
  readonly target: string
  readonly model: string
  readonly api: Api
  readonly stream: boolean
  /** "chat", "rag", "agent", "code", "file", "trace:mooncake", "prod" */
  readonly workload: string
  readonly load: Load
  readonly rounds: number
  /** One of the two. */
  readonly roundRequests: number | null
  readonly roundMs: number | null
  /** Requests of the idle floor. */
  readonly idle: number
  readonly seed: number
  readonly slo: readonly SloTerm[]
  readonly label: string
  readonly maxCostUsd: number | null
}

export interface Fingerprint {
  readonly sluice: string
  readonly node: string
  readonly platform: string
  readonly cpus: number
  /** Of the server, from its headers; null: it does not say. */
  readonly server: string | null
  /** As it lists them, the first 50. */
  readonly models: readonly string[]
  /** Fresh TCP connects; null: none succeeded. */
  readonly rtt: { readonly p50Ms: number; readonly minMs: number; readonly connects: number } | null
  /** Of the gateway's configuration, where it tells. */
  readonly configHash: string | null
  /** Cloud region or data center, as the server's headers tell. */
  readonly region: string | null
}

export interface PhaseSpan {
  readonly name: 'fingerprint' | 'self-test' | 'warm-up' | 'idle' | 'rounds' | 'drain'
  readonly fromMs: number
  readonly tookMs: number
  readonly requests: number
  /** "TTFT was flat after 24 requests" */
  readonly note: string | null
}

/** What the client itself adds, measured against a mock in a thread beside it, at the same rate. */
export interface ClientFloor {
  readonly ttftP50Ms: number
  readonly ttftP99Ms: number
  readonly lagP99Ms: number
  readonly cpuShare: number
  readonly requests: number
}

/** Sums of an engine's /metrics over a round, for its requests: vLLM's queue, prefill and decode. */
export interface EngineSums {
  readonly requests: number
  readonly queueMs: number
  readonly prefillMs: number
  readonly decodeMs: number
}

export interface RoundSummary {
  readonly round: number
  /** Same seed and workload: same prompts at the same times. */
  readonly seed: number
  /** Requests a second that were asked for; null: closed loop. */
  readonly rate: number | null
  readonly concurrency: number | null
  readonly fromAtMs: number
  /** Until the last was to be sent, or ended where the loop is closed; and until the last ended. */
  readonly sendMs: number
  readonly tookMs: number
  readonly requests: number
  readonly ok: number
  /** Requests a second that were really sent. */
  readonly sentRate: number
  /** Between due and sent. */
  readonly lagP50Ms: number
  readonly lagP99Ms: number
  /** 0 to 1, of one core. */
  readonly cpuShare: number
  readonly loopLagP99Ms: number
  /** 0 to 1: requests on connections that were kept. */
  readonly keptShare: number
  /** Of all prompts of the round, in order. */
  readonly promptsHash: string
  readonly engine: EngineSums | null
}

export interface ValidityCheck {
  /** "lag", "cpu", "rate", "connections", "errors", "requests", "tokens" */
  readonly name: string
  readonly isMet: boolean
  /** Not met, this one makes the run INVALID; others are only remarks. */
  readonly decides: boolean
  /** A sentence with value and limit: "client lag p99 2 ms (limit 15 ms: 5 % of TTFT p50)". */
  readonly text: string
}

export interface BenchRun {
  readonly v: typeof RUN_VERSION
  readonly kind: 'run'
  /** "bench_…", of this run alone. */
  readonly id: string
  readonly label: string
  readonly startedAtMs: number
  readonly tookMs: number
  readonly fingerprint: Fingerprint
  readonly options: RunOptions
  readonly phases: readonly PhaseSpan[]
  readonly client: ClientFloor | null
  readonly validity: { readonly isValid: boolean; readonly checks: readonly ValidityCheck[] }
  readonly rounds: readonly RoundSummary[]
  /** Of a sweep: the rate above which it is saturated; null: none was, or it is no sweep. */
  readonly saturation: { readonly rate: number; readonly why: string } | null
  /** By the price that was given; null: none was. */
  readonly costUsd: number | null
  /** Broken off by the user, by --abort-on or by --max-cost; null: it ran to its end. */
  readonly brokenOff: string | null
  /** Where the records come from, if another tool wrote them: "vllm 0.11.0". */
  readonly importedFrom: string | null
}
