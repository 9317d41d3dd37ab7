/**
 * npm run bench -- recorder [--tokens 50000] [--seconds 5]
 *
 * What recording costs: CPU of all facts that so many tokens a second bring (streams of 100 tokens at 50 tokens a
 * second, each with one reader), through the observers of a server, as a share of a core; by kind of fact; and what a
 * scrape of 1,000 series costs, and holds the event loop for. No facts are told per token, so nothing else is recorded.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../../src/core/clock.ts'
import type { Fact, Happened } from '../../../src/core/facts.ts'
import { histograms, type NumberSource } from '../../../src/core/numbers.ts'
import { createEmit } from '../../../src/observability/emit.ts'
import { namesOf } from '../../../src/observability/otlp/names.ts'
import { ProtoWriter } from '../../../src/observability/otlp/protobuf.ts'
import { Spans } from '../../../src/observability/otlp/spans.ts'
import { exposition } from '../../../src/observability/prometheus/text.ts'
import { createRecorder } from '../../../src/observability/recorder.ts'
import { createRegistry } from '../../../src/observability/registry.ts'
import { createReporter } from '../../../src/observability/report.ts'

const TOKENS = 100
const TOKENS_PER_SECOND = 50
const { values } = parseArgs({
  args: process.argv.slice(3),
  options: { tokens: { type: 'string', default: '50000' }, seconds: { type: 'string', default: '5' } },
})
const tokensPerSecond = Number(values.tokens)
const streams = tokensPerSecond / TOKENS_PER_SECOND
const requests = tokensPerSecond / TOKENS

const about = (n: number) => ({
  tenant: `tenant-${n % 20}`,
  keyId: 'key_1',
  model: `model-${n % 5}`,
  requestId: `req_${n}`,
  trace: null,
  job: `job_${n}`,
})
const parts = { admission: 1.2, queue: 30, retries: 0, routing: 0.4, connect: 0, upstream: 210, delivery: 0 }
const usage = { promptTokens: 900, completionTokens: TOKENS, cachedTokens: 512, estimated: false }
const timing = { queuedMs: 30, ttftMs: 241, parts, tpotMs: 20, totalMs: 2_241, attempts: 1 }
const deployment = 'model@host'

/** Of one request, from its submit to its end. */
const REQUEST: ReadonlyArray<(n: number) => Happened> = [
  (n) => ({ ...about(n), type: 'job-submitted', kind: 'chat', joined: false }),
  (n) => ({ ...about(n), type: 'job-leased', attempt: 1, deployment, queuedMs: 30 }),
  (n) => ({ ...about(n), type: 'attempt-started', attempt: 1, deployment, mode: 'first', isFallback: false }),
  (n) => ({ ...about(n), type: 'reader-opened', dialect: 'chat', reader: n }),
  (n) => ({ ...about(n), type: 'first-token-received', attempt: 1, deployment, ttftMs: 241, parts }),
  (n) => ({ ...about(n), type: 'first-token-delivered', dialect: 'chat', ttftMs: 243, parts }),
  (n) => ({
    ...about(n),
    type: 'attempt-ended',
    attempt: 1,
    deployment,
    code: null,
    usage,
    cost: { nanoDollars: 1_000, priceVersion: 'p' },
    calledMs: 2_200,
    overheadMs: 2,
    chunks: TOKENS,
  }),
  (n) => ({
    ...about(n),
    type: 'job-ended',
    state: 'done',
    deployment,
    code: null,
    usage,
    timing,
    good: true,
    nanoDollars: 1_000,
  }),
  (n) => ({
    ...about(n),
    type: 'reader-closed',
    dialect: 'chat',
    reader: n,
    complete: true,
    from: 0,
    seq: TOKENS + 3,
    tookMs: 9,
  }),
  (n) => ({
    ...about(n),
    type: 'request-ended',
    method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    code: null,
    complete: true,
    tookMs: 2_250,
  }),
]
/** Of one stream, twice a second. */
const PROGRESS: ReadonlyArray<(n: number) => Happened> = [
  (n) => ({ ...about(n), type: 'attempt-progressed', attempt: 1, deployment, tokens: 40 }),
  (n) => ({ ...about(n), type: 'reader-progressed', dialect: 'chat', reader: n, from: 0, seq: 42 }),
]

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
/** The least CPU of several runs, ms. */
function least(run: () => void): number {
  let best = Infinity
  for (let i = 0; i < Number(values.seconds) + 3; i++) {
    const before = cpuMs()
    run()
    best = Math.min(best, cpuMs() - before)
  }
  return best
}

const ignore = (): void => {}
/** As at `log.level: silent`: writing a line a job is the log's own cost. */
const log = { writes: () => false, debug: ignore, info: ignore, warn: ignore, error: ignore }
const recorder = createRecorder({ modelOf: (asked) => asked, tenantLabel: false })
const emitTo = (observers: ReadonlyArray<(fact: Fact) => void>) =>
  createEmit(systemClock, observers, (error) => {
    throw error
  })
const told = (emit: (happened: Happened) => void) => (): void => {
  for (let n = 0; n < requests; n++) for (const fact of REQUEST) emit(fact(n))
  for (let n = 0; n < 2 * streams; n++) for (const fact of PROGRESS) emit(fact(n))
}
const all = least(told(emitTo([createReporter(log, systemClock), ...recorder.observers])))
const made = least(told(emitTo([])))
const sampledTrace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
/** As the facts of a request that is traced have it: what an exporter of spans writes down. */
const toldTraced = (emit: (happened: Happened) => void) => (): void => {
  for (let n = 0; n < requests; n++)
    for (const fact of REQUEST) emit({ ...fact(n), trace: sampledTrace, ...SPANNED } as Happened)
}
const SPANNED = {
  ...{ parentSpan: 'b7ad6b7169203331', tookMs: 12 },
  marks: {
    ...{ kind: 'chat', isStream: true, isReplay: false, isOutput: true, firstChunkMs: 210, firstTokenMs: 211 },
    ...{ lastTokenMs: 2_199, finishReasons: ['stop'], model: 'model-1-2026' },
  },
} as const
const w = new ProtoWriter()
const at = { provider: 'openai', address: 'api.example.com', port: 443 }
const spans = new Spans(
  w,
  namesOf('otel-1.41'),
  () => at,
  () => systemClock.wallMs(),
  () => {
    if (w.length > 500_000) w.clear()
  },
)
const tracedMade = least(toldTraced(emitTo([])))
const traced = least(toldTraced(emitTo([spans.observe])))
const untraced = least(told(emitTo([spans.observe])))
const tracedUs = ((traced - tracedMade) * 1e3) / requests
const share = (ms: number): string => `${(ms / 10).toFixed(2)} % of a core`
const facts = requests * REQUEST.length + 2 * streams * PROGRESS.length
const untracedNs = ((untraced - made) * 1e6) / facts
process.stdout.write(`${tokensPerSecond} tokens/s: ${streams} streams, ${requests} requests/s, ${facts} facts/s
  facts are told        ${share(made)}
  and written as spans  ${tracedUs.toFixed(1)} µs a request that is traced, ${untracedNs.toFixed(0)} ns a fact of others
  and recorded          ${share(all)} (${Math.round(((all - made) * 1e6) / facts)} ns a fact)
`)

// ---------------------------------------------------------------- scrape

const families = ['ttft_ms', 'tpot_ms', 'e2e_ms', 'queue_ms', 'overhead_ms'].map((name) => {
  const family = histograms(name, 'For the benchmark', 'model', 'deployment')
  for (let i = 0; i < 200; i++) for (let j = 0; j < 200; j++) family.of(`model-${i}`, `deployment-${i}`).record(i * j)
  return family
})
const source: NumberSource = { metrics: [], families }
const registry = createRegistry([source])
for (let round = 0; round < 5; round++) {
  let [longest, bytes, at] = [0, 0, cpuMs()]
  const began = at
  const turn = async (): Promise<void> => {
    longest = Math.max(longest, cpuMs() - at)
    await new Promise((next) => setImmediate(next))
    at = cpuMs()
  }
  for await (const slice of exposition(await registry.read(turn), 'text', turn)) bytes += slice.length
  if (round === 4)
    process.stdout.write(
      `a scrape of 1,000 histograms: ${(cpuMs() - began).toFixed(1)} ms of CPU, ${(bytes / 2 ** 20).toFixed(1)} MiB, ` +
        `at most ${longest.toFixed(1)} ms at a time\n`,
    )
}
process.exit(0)
