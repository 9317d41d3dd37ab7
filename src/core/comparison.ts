/**
 * What `sluice bench compare` finds: types alone, which the benchmark writes (comparison.json) and the dashboard reads.
 * Times are ms; `...AtMs` is wall clock. Null: not known, or none; never 0.
 */

export interface Comparison {
  readonly kind: 'comparison'
  readonly v: 1
  readonly atMs: number
  readonly before: ComparedRun
  readonly after: ComparedRun
  readonly verdict: Verdict
  /** "Time to first token is worse by 480 ms. It is the queue, not the model." */
  readonly sentence: string
  /** What else a reader should know: at most three sentences. */
  readonly details: readonly string[]
  readonly method: Method
  /** The headline first, in the order in which they are shown. Empty where the runs may not be compared. */
  readonly effects: readonly Effect[]
  /** Where the differences went; empty where the runs may not be compared. */
  readonly attributions: readonly Attribution[]
  /** May they be compared at all? */
  readonly checks: readonly Check[]
  /** By rule, from what was measured; null: not clear. */
  readonly cause: string | null
  readonly next: string | null
}

/** Of all headline effects; `mixed`: some better, some worse. */
export type Verdict = 'worse' | 'better' | 'mixed' | 'no-change' | 'cant-tell' | 'not-comparable'

export interface ComparedRun {
  readonly label: string
  readonly startedAtMs: number
  /** "http://127.0.0.1:4100" */
  readonly target: string
  readonly model: string
  /** "chat, 5 a second (poisson)" */
  readonly load: string
  readonly rounds: number
  readonly requests: number
}

export interface Method {
  /** `paired`: round by round, with the same arrivals and prompts. */
  readonly test: 'paired' | 'unpaired'
  readonly rounds: number
  readonly requestsPerRound: number
  /** Why the rounds are not paired; null: they are. */
  readonly note: string | null
  /** 0.05: a difference within 5 % counts as none. */
  readonly margin: number
  /** 0.95 */
  readonly confidence: number
}

export type EffectMetric =
  | 'ttft-mean'
  | 'ttft-p50'
  | 'ttft-p95'
  | 'ttft-p99'
  | 'tpot-p50'
  | 'ms-per-char'
  | 'e2e-p95'
  | 'tokens-per-second'
  | 'goodput'
  | 'errors'

export type EffectUnit = 'ms' | 'ms/token' | 'ms/char' | 'tokens/s' | 'share'

export interface Effect {
  readonly metric: EffectMetric
  /** "TTFT, mean" */
  readonly name: string
  readonly unit: EffectUnit
  readonly better: 'less' | 'more'
  /** Medians over the rounds. */
  readonly before: number
  readonly after: number
  /** After minus before, in the unit, with its interval; null: any size is possible, there are too few rounds. */
  readonly shift: number
  readonly low: number | null
  readonly high: number | null
  /** What counts as no change, in the unit: shifts from -band to +band. */
  readonly band: number
  readonly p: number
  /** By Holm's method, over the headline effects; null: it is not one of them, and decides nothing. */
  readonly adjustedP: number | null
  readonly outcome: 'worse' | 'better' | 'no-change' | 'cant-tell'
  /** The smallest shift that these rounds would have found, in the unit; null: none, there are too few rounds. */
  readonly detectable: number | null
  /** By round; paired where the method is. */
  readonly rounds: { readonly before: readonly number[]; readonly after: readonly number[] }
}

/** `prefill`: the provider until its first token. `decode`: its pace afterwards. `gateway`: Sluice's own work. */
export type Part =
  | 'queue'
  | 'gateway'
  | 'retries'
  | 'network'
  | 'prefill'
  | 'decode'
  | 'delivery'
  /** Loaded minus idle, where no server told its times: waiting of any kind. */
  | 'contention'
  | 'unexplained'

/** Means add up, percentiles do not: of a p95 it is the mean make-up of the requests at or above it. */
export interface Attribution {
  readonly of: 'ttft-mean' | 'ttft-p95' | 'tpot-mean'
  readonly beforeMs: number
  readonly afterMs: number
  readonly deltaMs: number
  /** They add up to the delta, exactly; `unexplained` is always the last. */
  readonly parts: readonly AttributionPart[]
  /** Where the parts come from. */
  readonly source: 'server' | 'engine' | 'metrics' | 'idle'
  /** Requests that brought them, 0 to 1: of both runs the smaller share. */
  readonly covered: number
}

export interface AttributionPart {
  readonly part: Part
  readonly beforeMs: number
  readonly afterMs: number
  readonly deltaMs: number
}

export interface Check {
  readonly name:
    | 'prompts'
    | 'output'
    | 'cache'
    | 'rate'
    | 'errors'
    | 'model'
    | 'region'
    | 'load'
    | 'goals'
    | 'client'
    | 'machine'
  /** `differs`: they may not be compared. `warns`: they may, with this in mind. `unknown`: a run does not tell. */
  readonly state: 'same' | 'warns' | 'unknown' | 'differs'
  /** "Prompts and arrivals" */
  readonly title: string
  /** "the same, seed 1", "-38 %" */
  readonly text: string
}
