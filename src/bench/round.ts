/** One round: its prompts, sent by a load, and what came of each. */
import type { Clock } from '../core/clock.ts'
import { requestOf } from './apis.ts'
import { schedule } from './arrivals.ts'
import type { Called, Caller } from './http.ts'
import { closedLoop, type LoopControl, openLoop } from './loops.ts'
import { startMeter } from './meter.ts'
import { ascending, quantile } from './quantile.ts'
import { type BenchRecord, RECORD_VERSION } from './record.ts'
import type { Api, Arrivals, EngineSums, RoundSummary } from './run.ts'
import { charsOf, hashOf, hashOfAll, type Prompt, withNonce } from './workloads/workload.ts'

export type RoundLoad =
  | { readonly kind: 'open'; readonly rate: number; readonly arrivals: Arrivals }
  | { readonly kind: 'closed'; readonly concurrency: number; readonly untilMs: number }

export interface RoundPlan {
  readonly phase: BenchRecord['phase']
  readonly round: number
  readonly seed: number
  readonly load: RoundLoad
  readonly prompts: readonly Prompt[]
  /** Null: prompts are sent as they are. */
  readonly nonce: string | null
}

export interface Sender {
  readonly clock: Clock
  readonly caller: Caller
  readonly api: Api
  readonly model: string
  readonly stream: boolean
  readonly extra: Parameters<typeof requestOf>[1]['extra']
  /** Prefix of the requests' ids. */
  readonly runId: string
  readonly control: LoopControl
  /** Gives up what is under way. */
  readonly signal: AbortSignal
  sent(): void
  ended(record: BenchRecord): void
}

interface Ready {
  readonly id: string
  readonly body: string
  readonly hash: string
  readonly chars: number
}

export async function runRound(
  sender: Sender,
  plan: RoundPlan,
): Promise<{ records: BenchRecord[]; summary: RoundSummary }> {
  const { clock, control } = sender
  const { load, prompts } = plan
  // All that costs time is done before the first is sent
  const ready = prompts.map((prompt, index) => prepare(sender, plan, prompt, index))
  const times = load.kind === 'open' ? timesOf(load, plan) : []
  const meter = startMeter(clock)
  const fromAtMs = clock.wallMs()
  const startMono = clock.monoMs()
  const records: BenchRecord[] = []
  const send = async (index: number, dueMono: number): Promise<void> => {
    sender.sent()
    const called = await sender.caller.call(
      { id: ready[index].id, body: ready[index].body, stream: sender.stream, scheduledMono: dueMono },
      sender.signal,
    )
    const record = recordOf(called, ready[index], plan, index, startMono)
    records.push(record)
    sender.ended(record)
  }
  const { sendMs } =
    load.kind === 'open'
      ? await openLoop(clock, times, control, send)
      : await closedLoop(clock, { ...load, count: prompts.length }, control, send)
  const used = meter.read()
  const tookMs = clock.monoMs() - startMono
  records.sort((a, b) => a.index - b.index)
  return { records, summary: summaryOf(plan, records, { fromAtMs, sendMs, tookMs, times, ...used }) }
}

function prepare(sender: Sender, { phase, round, nonce }: RoundPlan, prompt: Prompt, index: number): Ready {
  const { api, model, stream, extra, runId } = sender
  const messages = nonce === null ? prompt.messages : withNonce(prompt.messages, nonce)
  const request = requestOf(api, { model, messages, maxTokens: prompt.maxTokens, stream, extra })
  return {
    id: `${runId}-${phase === 'idle' ? 'i' : `r${round}`}-${index}`,
    body: JSON.stringify(api === 'jobs' ? { request } : request),
    hash: hashOf(prompt),
    chars: charsOf(prompt.messages),
  }
}

function timesOf(load: Extract<RoundLoad, { kind: 'open' }>, { prompts, seed }: RoundPlan): number[] {
  const { arrivals } = load
  if (arrivals.kind === 'trace') return prompts.map(({ atMs }) => (atMs ?? 0) / arrivals.speed)
  return schedule(arrivals, load.rate, prompts.length, seed)
}

function recordOf(called: Called, { id, hash, chars }: Ready, plan: RoundPlan, index: number, startMono: number) {
  const { marks, connectedMono, status, errorCode, serverId, cache } = called
  const from = (atMono: number): number => Math.round((atMono - startMono) * 1_000) / 1_000
  const fromOrNull = (atMono: number | null): number | null => (atMono === null ? null : from(atMono))
  return {
    v: RECORD_VERSION,
    id,
    serverId,
    phase: plan.phase,
    round: plan.round,
    index,
    scheduled: from(marks.scheduledMono),
    sent: from(marks.sentMono),
    connected: fromOrNull(connectedMono),
    firstByte: fromOrNull(marks.firstByteMono),
    firstToken: fromOrNull(marks.firstTokenMono),
    firstOutput: fromOrNull(marks.firstOutputMono),
    lastToken: fromOrNull(marks.lastTokenMono),
    end: from(marks.endMono),
    chunks: marks.chunks,
    tokens: {
      prompt: marks.promptTokens,
      cached: marks.cachedTokens,
      completion: marks.tokens,
      reasoning: marks.reasoningTokens,
      source: marks.tokenSource,
    },
    chars: marks.chars,
    firstChunkTokens: marks.firstTokens,
    isFirstChunkExact: marks.isFirstExact,
    firstChunkChars: marks.firstChars,
    maxGap: marks.stallMaxMs === null ? null : Math.round(marks.stallMaxMs * 1_000) / 1_000,
    outcome: errorCode === null ? 'ok' : errorCode === 'aborted' ? 'aborted' : 'error',
    status,
    errorCode,
    finishReason: marks.finishReason,
    attempt: marks.attempt,
    cache,
    server: marks.server,
    promptHash: hash,
    promptChars: chars,
    askedTokens: plan.prompts[index].maxTokens,
  } satisfies BenchRecord
}

interface Spent {
  readonly fromAtMs: number
  readonly sendMs: number
  readonly tookMs: number
  readonly times: readonly number[]
  readonly cpuShare: number
  readonly loopLagP99Ms: number
}

function summaryOf(plan: RoundPlan, records: readonly BenchRecord[], spent: Spent): RoundSummary {
  const { round, seed, load } = plan
  const lags = ascending(records.map(({ sent, scheduled }) => sent - scheduled))
  const { times, ...others } = spent
  // A trace has the rate that it has
  const planned = times.length === 0 ? 0 : times[times.length - 1]
  const asked = load.kind === 'closed' || planned === 0 ? null : (times.length / planned) * 1_000
  return {
    round,
    seed,
    rate: asked,
    concurrency: load.kind === 'closed' ? load.concurrency : null,
    ...others,
    requests: records.length,
    ok: records.filter(({ outcome }) => outcome === 'ok').length,
    sentRate: spent.sendMs === 0 ? (asked ?? 0) : (records.length / spent.sendMs) * 1_000,
    lagP50Ms: quantile(lags, 0.5) ?? 0,
    lagP99Ms: quantile(lags, 0.99) ?? 0,
    keptShare: records.length === 0 ? 1 : records.filter(({ connected }) => connected === null).length / records.length,
    promptsHash: hashOfAll(records.map(({ promptHash }) => promptHash)),
    engine: null satisfies EngineSums | null,
  }
}
