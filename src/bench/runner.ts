/**
 * A run, from the first look at the target to the verdict on itself: fingerprint, self-test, warm-up, idle floor,
 * rounds with a drain after each.
 */
import type { Clock } from '../core/clock.ts'
import type { JsonObject } from '../core/fold.ts'
import type { Ids } from '../core/ids.ts'
import type { Caller } from './http.ts'
import { mean } from './quantile.ts'
import { seedOf } from './random.ts'
import type { BenchRecord } from './record.ts'
import { type RoundLoad, type RoundPlan, runRound, type Sender } from './round.ts'
import {
  type BenchRun,
  type ClientFloor,
  type EngineSums,
  type Fingerprint,
  type PhaseSpan,
  type RoundSummary,
  RUN_VERSION,
  type RunOptions,
} from './run.ts'
import { ratesBetween, saturatedBy } from './saturation.ts'
import type { SloTerm } from './slo.ts'
import { codesText, e2e, isMet, isOk, summarize, ttft } from './summary.ts'
import { between } from './target.ts'
import { validityOf } from './validity.ts'
import { isWarm, MAX_WARM, MIN_WARM } from './warmth.ts'
import type { Workload } from './workloads/workload.ts'

/** Dollars for a token. */
export interface Price {
  readonly prompt: number
  readonly completion: number
}

export interface Plan {
  readonly options: RunOptions
  readonly workload: Workload
  readonly extra: JsonObject
  /** Null: until TTFT is flat. */
  readonly warmup: number | null
  readonly hasNonce: boolean
  readonly abortOn: readonly SloTerm[]
  readonly price: Price | null
}

export interface Tools {
  readonly clock: Clock
  readonly ids: Ids
  readonly caller: Caller
  readonly watch: Watcher
  fingerprint(): Promise<Fingerprint>
  /** Null: the client's floor is not measured. */
  selfTest: ((load: RoundLoad) => Promise<ClientFloor>) | null
  /** Null: the engine has none that are known. */
  engineSums: (() => Promise<EngineSums | null>) | null
  /** Each record of idle and rounds, as it comes. */
  keep(record: BenchRecord): void
}

/** What shows the progress. */
export interface Watcher {
  phase(name: PhaseSpan['name'], round: number | null, planned: number): void
  sent(): void
  ended(record: BenchRecord): void
}

const SWEEP_RATES = 8
const SWEEP_AT_ONCE = 64
const SWEEP_ALONE = 10
/** Before it is judged whether the run is to be broken off. */
const ABORT_AFTER = 20
const MAX_ROUND_REQUESTS = 20_000

export class Runner {
  readonly #plan: Plan
  readonly #tools: Tools
  readonly #abort = new AbortController()
  readonly #records: BenchRecord[] = []
  readonly #rounds: RoundSummary[] = []
  readonly #phases: PhaseSpan[] = []
  readonly #runId: string
  #isStopped = false
  #brokenOff: string | null = null
  #costUsd = 0
  #open = 0
  #startMono = 0

  constructor(plan: Plan, tools: Tools) {
    this.#plan = plan
    this.#tools = tools
    this.#runId = tools.ids.name('bench', 6)
  }

  /** Nothing more is sent, and what is under way is given up. */
  breakOff(why: string): void {
    if (this.#isStopped) return
    this.#brokenOff = why
    this.#isStopped = true
    this.#abort.abort()
  }

  /** Throws what the fingerprint throws: there is no target. */
  async run(): Promise<{ run: BenchRun; records: readonly BenchRecord[] }> {
    const { clock } = this.#tools
    const { options } = this.#plan
    const startedAtMs = clock.wallMs()
    this.#startMono = clock.monoMs()
    const fingerprint = await this.#phase('fingerprint', () => this.#tools.fingerprint())
    const client = await this.#selfTest()
    await this.#warmUp()
    const aloneMs = await this.#idle()
    const saturation = await this.#phase('rounds', () =>
      options.load.kind === 'sweep' ? this.#sweep(aloneMs) : this.#fixed(aloneMs),
    )
    const inRounds = this.#records.filter(({ phase }) => phase === 'round')
    const run: BenchRun = {
      v: RUN_VERSION,
      kind: 'run',
      id: this.#runId,
      label: options.label,
      startedAtMs,
      tookMs: clock.monoMs() - this.#startMono,
      fingerprint,
      options,
      phases: this.#phases,
      client,
      validity: validityOf(this.#rounds, inRounds, options.load.kind === 'sweep'),
      rounds: this.#rounds,
      saturation,
      costUsd: this.#plan.price === null ? null : this.#costUsd,
      brokenOff: this.#brokenOff,
      importedFrom: null,
    }
    return { run, records: this.#records }
  }

  async #phase<T>(name: PhaseSpan['name'], work: () => Promise<T>, note: (result: T) => string | null = () => null) {
    const { clock, watch } = this.#tools
    const fromMono = clock.monoMs()
    watch.phase(name, null, 0)
    const before = this.#open
    const result = await work()
    const told = note(result)
    this.#phases.push({
      name,
      fromMs: fromMono - this.#startMono,
      tookMs: clock.monoMs() - fromMono,
      requests: this.#open - before,
      note: told,
    })
    return result
  }
  async #selfTest(): Promise<ClientFloor | null> {
    const { selfTest } = this.#tools
    const { load } = this.#plan.options
    if (selfTest === null || this.#isStopped) return null
    const like: RoundLoad =
      load.kind === 'open' && load.arrivals.kind !== 'trace'
        ? load
        : { kind: 'closed', concurrency: load.kind === 'closed' ? load.concurrency : 8, untilMs: 2_000 }
    return this.#phase('self-test', () => selfTest(like))
  }

  async #warmUp(): Promise<void> {
    const { warmup } = this.#plan
    if (warmup === 0) return
    await this.#phase(
      'warm-up',
      async () => {
        const ttfts: number[] = []
        const failed: BenchRecord[] = []
        const most = warmup ?? MAX_WARM
        const width = this.#width()
        for (let from = 0; from < most && !this.#isStopped; from += width) {
          const count = Math.min(width, most - from)
          const { records } = await this.#send({
            phase: 'idle',
            round: -1 - from,
            seed: 0,
            load: { kind: 'closed', concurrency: Math.min(width, count), untilMs: Number.POSITIVE_INFINITY },
            prompts: this.#plan.workload.prompts(WARM_ROUND, from + count).slice(from),
            nonce: this.#nonce(),
          })
          for (const record of records)
            if (isOk(record)) ttfts.push(ttft(record) ?? e2e(record) ?? 0)
            else failed.push(record)
          if (warmup === null && ttfts.length >= MIN_WARM && isWarm(ttfts)) return ttfts.length
          if (ttfts.length === 0 && from + count >= Math.min(most, ABORT_AFTER))
            this.breakOff(`no request of the warm-up ended well: ${codesText(summarize(failed, 0, []).errors)}`)
        }
        return null
      },
      (flatAfter) =>
        flatAfter === null
          ? warmup === null
            ? `TTFT was not flat after ${MAX_WARM} requests`
            : null
          : `TTFT was flat after ${flatAfter} requests`,
    )
  }

  /** Requests at once in the warm-up. */
  #width(): number {
    const { load } = this.#plan.options
    return load.kind === 'closed' ? Math.min(load.concurrency, 16) : 4
  }

  /** Returns how long an answer takes that is alone. */
  async #idle(): Promise<number | null> {
    const { idle, seed } = this.#plan.options
    if (idle === 0 || this.#isStopped) return null
    const { records } = await this.#phase('idle', () =>
      this.#send(
        {
          phase: 'idle',
          round: 0,
          seed,
          load: { kind: 'closed', concurrency: 1, untilMs: Number.POSITIVE_INFINITY },
          // Of those that the rounds ask
          prompts: this.#plan.workload.prompts(0, idle),
          nonce: this.#nonce(),
        },
        true,
      ),
    )
    return mean(records.filter(isOk).map((record) => e2e(record) ?? 0))
  }

  async #fixed(aloneMs: number | null): Promise<null> {
    const { options } = this.#plan
    for (let round = 0; round < options.rounds && !this.#isStopped; round++) {
      const load = roundLoad(options)
      await this.#round(round, load, this.#count(load, aloneMs), aloneMs)
    }
    return null
  }

  /** How many requests a round has, at most. */
  #count(load: RoundLoad, aloneMs: number | null): number {
    const { roundRequests, roundMs } = this.#plan.options
    if (roundRequests !== null) return roundRequests
    const each = load.kind === 'open' ? load.rate / 1_000 : (1.5 * load.concurrency) / Math.max(1, aloneMs ?? 100)
    return Math.max(1, Math.min(MAX_ROUND_REQUESTS, Math.round(roundMs! * each)))
  }

  async #round(round: number, load: RoundLoad, count: number, aloneMs: number | null): Promise<BenchRecord[]> {
    const { workload, options } = this.#plan
    await this.#warmConnections(load, aloneMs)
    this.#tools.watch.phase('rounds', round, count)
    const before = (await this.#tools.engineSums?.()) ?? null
    const { records, summary } = await this.#send(
      {
        phase: 'round',
        round,
        seed: seedOf(options.seed, round),
        load,
        prompts: workload.prompts(round, count),
        nonce: this.#nonce(),
      },
      true,
    )
    // All have ended: the round is drained, and what the engine adds up is of it alone
    const after = before === null ? null : ((await this.#tools.engineSums?.()) ?? null)
    this.#rounds.push({ ...summary, engine: before === null || after === null ? null : between(before, after) })
    return records
  }

  /** What will be open at once, and some more. */
  async #warmConnections(load: RoundLoad, aloneMs: number | null): Promise<void> {
    const atOnce = load.kind === 'closed' ? load.concurrency : (load.rate / 1_000) * (aloneMs ?? 1_000) * 2
    await this.#tools.caller.warm(Math.min(MAX_CONNECTIONS, Math.ceil(atOnce) + 4))
  }

  async #sweep(aloneMs: number | null): Promise<BenchRun['saturation']> {
    const { rounds } = this.#plan.options
    const alone: RoundLoad = { kind: 'closed', concurrency: 1, untilMs: this.#stepMs() }
    const first = await this.#round(0, alone, this.#plan.options.roundRequests ?? SWEEP_ALONE, aloneMs)
    const each = mean(first.filter(isOk).map((record) => e2e(record) ?? 0)) ?? aloneMs
    if (each === null || each <= 0 || this.#isStopped) return null
    const { roundRequests } = this.#plan.options
    const concurrency = Math.min(SWEEP_AT_ONCE, roundRequests ?? SWEEP_AT_ONCE)
    const all: RoundLoad = { kind: 'closed', concurrency, untilMs: this.#stepMs() }
    await this.#round(1, all, this.#count(all, each), each)
    const most = this.#rounds[1]
    if (most === undefined || most.ok === 0) return null
    const atOnce = (most.ok / most.tookMs) * 1_000
    const rates = ratesBetween(1_000 / each, atOnce, Math.max(1, rounds > 2 ? rounds - 2 : SWEEP_RATES))
    let step = 2
    for (const rate of rates) {
      if (this.#isStopped) return null
      const load: RoundLoad = { kind: 'open', rate, arrivals: { kind: 'poisson' } }
      const records = await this.#round(step++, load, this.#count(load, each), each)
      const why = saturatedBy(records, rate, this.#rounds.at(-1)!.sendMs, each)
      if (why !== null) return { rate, why }
    }
    return null
  }

  #stepMs(): number {
    return this.#plan.options.roundMs ?? Number.POSITIVE_INFINITY
  }

  #nonce(): string | null {
    return this.#plan.hasNonce ? this.#tools.ids.name('n', 4) : null
  }

  async #send(plan: RoundPlan, isKept = false) {
    const { clock, caller, watch, keep } = this.#tools
    const { options, extra } = this.#plan
    const seen = { requests: 0, failed: 0 }
    const sender: Sender = {
      clock,
      caller,
      api: options.api,
      model: options.model,
      stream: options.stream,
      extra,
      runId: this.#runId,
      control: { isStopped: () => this.#isStopped },
      signal: this.#abort.signal,
      sent: () => {
        this.#open++
        watch.sent()
      },
      ended: (record) => {
        watch.ended(record)
        this.#charge(record)
        seen.requests++
        if (!isOk(record)) seen.failed++
        if (!isKept) return
        this.#records.push(record)
        keep(record)
        this.#judge(seen)
      },
    }
    return runRound(sender, plan)
  }

  #charge({ tokens }: BenchRecord): void {
    const { price, options } = this.#plan
    if (price === null) return
    this.#costUsd += (tokens.prompt ?? 0) * price.prompt + tokens.completion * price.completion
    if (options.maxCostUsd !== null && this.#costUsd >= options.maxCostUsd)
      this.breakOff(`it has cost $${this.#costUsd.toFixed(2)}, which --max-cost allows`)
  }

  #judge({ requests, failed }: { readonly requests: number; readonly failed: number }): void {
    const { abortOn } = this.#plan
    if (abortOn.length === 0 || requests < ABORT_AFTER) return
    for (const term of abortOn) {
      // An error share costs nothing to look at; quantiles are looked at now and then
      if (term.metric !== 'error' && requests % ABORT_AFTER !== 0) continue
      const last = this.#records.slice(-requests)
      const summary = term.metric === 'error' ? null : summarize(last, 0, abortOn)
      const holds =
        summary === null
          ? term.is === '>'
            ? failed / requests > term.limit
            : failed / requests < term.limit
          : isMet(term, last, summary)
      if (holds === true) return this.breakOff(`--abort-on ${term.text}`)
    }
  }
}

/** Warm-up asks other prompts than the rounds do. */
const WARM_ROUND = 1_000_000
const MAX_CONNECTIONS = 512

function roundLoad({ load, roundMs, roundRequests }: RunOptions): RoundLoad {
  if (load.kind === 'open') return load
  const concurrency = load.kind === 'closed' ? load.concurrency : 1
  return { kind: 'closed', concurrency, untilMs: roundRequests === null ? roundMs! : Number.POSITIVE_INFINITY }
}
