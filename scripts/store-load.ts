/**
 * Load on the embedded engine alone: streams that append through the real engine, while jobs start and end and large
 * bodies are submitted. Prints what a token and a job cost, how long commits held the event loop, and what is on
 * disk.
 *
 *   node scripts/store-load.ts [--streams 1000] [--rate 50] [--tokens 500] [--seconds 10] [--gather 60] [--jobs 0]
 * [--bodies 10]
 *
 * --rate: tokens a second of each stream; --tokens: length of an answer; --gather: ms between appends of a stream (0 =
 * each token by itself); --jobs: short jobs a second besides; --bodies: submits of 320 KB a second besides;
 * --durability power|process|memory. CPU is of the whole process, all threads, less what the load alone costs (measured
 * first, with a log that forgets).
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { createCoordinator } from '../src/coordinator/coordinator.ts'
import { systemClock, Wheel } from '../src/core/clock.ts'
import { systemIds } from '../src/core/ids.ts'
import type { JobDraft } from '../src/core/job.ts'
import { bucketOf, countOf, type Gauge, type Histogram, quantileOf } from '../src/core/numbers.ts'
import type { Engine } from '../src/core/ports/engine.ts'
import type { Lease, Outcome } from '../src/core/ports/work.ts'
import { attemptRecord, type Bytes } from '../src/core/record.ts'
import { openEmbedded } from '../src/engines/embedded/open.ts'
import { UNLIMITED } from '../src/engines/shared/conversation-limits.ts'

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '1000' },
    rate: { type: 'string', default: '50' },
    tokens: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '10' },
    gather: { type: 'string', default: '60' },
    jobs: { type: 'string', default: '0' },
    bodies: { type: 'string', default: '10' },
    durability: { type: 'string', default: 'power' },
    dir: { type: 'string', default: tmpdir() },
  },
})
const [streams, rate, tokens, seconds, gather, jobs, bodies] = [
  values.streams,
  values.rate,
  values.tokens,
  values.seconds,
  values.gather,
  values.jobs,
  values.bodies,
].map(Number)
const durability = values.durability as 'power' | 'process' | 'memory'

const PREFIX =
  '{"id":"chatcmpl-MOCK000000000000000000000000","object":"chat.completion.chunk","created":1700000000,' +
  '"model":"mock-model-2025","service_tier":"default","system_fingerprint":"fp_0123456789","choices":['
const [TOKEN_HEAD, TOKEN_TAIL] = [
  `${PREFIX}{"index":0,"delta":{"content":" tok`,
  '.1750000000123"},"logprobs":null,"finish_reason":null}]}',
]
const OPENING =
  `${PREFIX}{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,` +
  '"finish_reason":null}]}'
const TOKEN_BYTES = TOKEN_HEAD.length + 6 + TOKEN_TAIL.length
/** Room for one read of a socket. */
const read = Buffer.from(Array.from({ length: 64 }, () => `${TOKEN_HEAD}000000${TOKEN_TAIL}`).join(''), 'latin1')

/** Tokens `from` to `to`, as slices of one read. */
function chunks(from: number, to: number): Bytes[] {
  for (let i = from; i < to; i++)
    read.write(String(i).padStart(6, '0'), (i - from) * TOKEN_BYTES + TOKEN_HEAD.length, 'latin1')
  const text = read.toString('latin1', 0, (to - from) * TOKEN_BYTES)
  return Array.from({ length: to - from }, (_, i) => text.slice(i * TOKEN_BYTES, (i + 1) * TOKEN_BYTES))
}

type Append = (records: readonly Bytes[], outputTokens: number, urgent: boolean) => void

/** Streams, each with its own beat in the gather window. */
class Load {
  readonly #running = new Set<{
    readonly append: Append
    readonly length: number
    readonly done: () => void
    readonly startedAt: number
    sent: number
    next: number
  }>()
  sent = 0

  start(append: Append, length: number, done: () => void): void {
    const now = performance.now()
    append([OPENING], 0, true)
    this.#running.add({
      append,
      length,
      done,
      startedAt: now,
      sent: 0,
      next: now + Math.random() * (gather || 1000 / rate),
    })
  }

  turn(): void {
    const now = performance.now()
    for (const stream of this.#running) {
      if (stream.next > now) continue
      stream.next += gather || 1000 / rate
      const to = Math.min(stream.length, stream.sent + 60, Math.floor(((now - stream.startedAt) * rate) / 1000))
      if (to > stream.sent) {
        stream.append(chunks(stream.sent, to), to - stream.sent, false)
        this.sent += to - stream.sent
        stream.sent = to
      }
      if (stream.sent < stream.length) continue
      this.#running.delete(stream)
      stream.done()
    }
  }
}

const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** What the load costs by itself, µs a token. */
async function loadAlone(): Promise<number> {
  const load = new Load()
  const begin = (): void => load.start(() => {}, tokens, begin)
  for (let i = 0; i < streams; i++) begin()
  const timer = setInterval(() => load.turn(), 5)
  await wait(500)
  const [cpu, sent] = [cpuMs(), load.sent]
  await wait(2000)
  clearInterval(timer)
  return ((cpuMs() - cpu) * 1000) / (load.sent - sent)
}

let submitted = 0
/** `stream`: when it ended another one follows it. */
function draft(length: number, bodyBytes: number, stream: boolean): JobDraft {
  const body = Buffer.alloc(bodyBytes, 'x')
  return {
    tenant: `tenant-${submitted % 50}`,
    keyId: 'key_load',
    kind: 'chat',
    model: 'mock',
    body,
    bodyHash: `hash-${submitted++}`.padEnd(43, '0'),
    options: {
      pool: 'text',
      priority: 'normal',
      deadlineMs: 86_400_000,
      policy: 'wait',
      onWorkerLoss: 'continue',
      onDisconnect: 'cancel',
    },
    isRetry: false,
    dialect: 'chat',
    takesBack: false,
    promptTokens: 20,
    metadata: { length: String(length), ...(stream && { stream: 'yes' }) },
  }
}

const alone = await loadAlone()
const dir = mkdtempSync(join(values.dir, 'sluice-load-'))
const coordinator = createCoordinator({
  models: [
    {
      name: '*',
      deployments: [{ name: 'd', kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' }],
    },
  ],
  leaseMs: 30_000,
  maxAttempts: 3,
  maxCrashes: 3,
  retryBaseMs: 500,
  retryCapMs: 30_000,
  maxQueuedJobs: 1_000_000,
  maxQueuedPerTenant: 1_000_000,
  maxQueuedPerLane: 1_000,
  maxQueuedBytesPerTenant: 1 << 30,
  maxQueuedPerSession: 100_000,
  maxQueuedBytesPerSession: 1 << 30,
  joinAfterEndMs: 60_000,
  returnRoomMs: 60_000,
  weight: () => 1,
  promptWeight: 1,
  outputWeight: 2,
  jitter: Math.random,
})
const wheel = new Wheel(systemClock)
const engine: Engine = openEmbedded({
  dir,
  durability,
  coordinator,
  clock: systemClock,
  ids: systemIds(),
  wheel,
  retention: {
    logsMs: 86_400_000,
    bytes: 1 << 30,
    atLeastMs: 0,
    usageMs: 86_400_000,
    usageBytes: 1 << 30,
    tenant: () => null,
    conversations: UNLIMITED,
  },
  disconnectGraceMs: 15_000,
  joinAfterEndMs: 60_000,
  boot: { id: 'load', ms: () => null },
  onFact: (fact) => fact.type.startsWith('store') && console.error(fact),
})
const load = new Load()
let told = 0
let ended = 0
let stopping = false

const outcome = (length: number): Outcome => ({
  kind: 'done',
  usage: { promptTokens: 20, completionTokens: length, estimated: false },
  timing: { queuedMs: 1, totalMs: 1000, attempts: 1 },
})

function run(lease: Lease): void {
  const length = Number(lease.job.metadata!['length'])
  const writer = engine.log.open(lease)
  let expected = 1
  const following = engine.log.follow(lease.job.id, (firstSeq, records) => {
    if (firstSeq !== expected) throw new Error(`gap: ${firstSeq} instead of ${expected}`)
    expected += records.length
    told += records.length
  })
  writer.append([attemptRecord({ n: lease.attempt, mode: 'first', deployment: 'load' })], 0, false)
  load.start(
    (records, n, urgent) => writer.append(records, n, urgent),
    length,
    () => {
      void engine.work.finish(lease, outcome(length)).then(() => {
        following.stop()
        ended++
        if (lease.job.metadata!['stream'] && !stopping) void engine.submissions.begin(draft(tokens, 300, true))
      })
    },
  )
}

await engine.restore()
const attachment = engine.work.attach({
  id: 'load',
  pools: [],
  slots: Infinity,
  leased(leases) {
    for (const lease of leases) run(lease)
  },
  revoked() {},
  cut() {},
})
const heart = setInterval(() => attachment.heartbeat(), 5_000)

const accepted: number[] = []
async function submit(length: number, bodyBytes: number): Promise<void> {
  const startedAt = performance.now()
  await engine.submissions.submit([draft(length, bodyBytes, false)])
  accepted.push(performance.now() - startedAt)
}

/** A histogram of the engine so far. */
function seen(name: string): { count: number; p99: number; max: number; over: number } {
  const found = engine.metrics.find((one) => one.name === name) as Histogram
  const slow = found.buckets.subarray(bucketOf(5))
  return {
    count: countOf(found),
    p99: quantileOf(found, 0.99),
    max: found.max,
    over: slow.reduce((sum, count) => sum + count, 0),
  }
}

const now = (name: string): number => (engine.metrics.find((one) => one.name === name) as Gauge).read()

let bodyBytes = 0
for (let i = 0; i < streams; i++) {
  void engine.submissions.begin(draft(Math.ceil(Math.random() * tokens), 300, true))
  if (i % 20 === 19) await wait(5)
}
const timer = setInterval(() => load.turn(), 5)
await wait(3000)
let owed = { jobs: 0, bodies: 0 }
const extra = setInterval(() => {
  owed = { jobs: owed.jobs + jobs / 100, bodies: owed.bodies + bodies / 100 }
  for (; owed.jobs >= 1; owed.jobs--) void submit(3, 300)
  for (; owed.bodies >= 1; owed.bodies--) {
    bodyBytes += 320 << 10
    void submit(3, 320 << 10)
  }
}, 10)

const loop = monitorEventLoopDelay({ resolution: 1 })
loop.enable()
const at = {
  cpu: cpuMs(),
  sent: load.sent,
  ended,
  commits: seen('commit_ms'),
  syncs: seen('sync_ms'),
  ms: performance.now(),
}
await wait(seconds * 1000)
const ms = performance.now() - at.ms
const cpu = cpuMs() - at.cpu
const [commits, syncs] = [seen('commit_ms'), seen('sync_ms')]
const sent = load.sent - at.sent
loop.disable()
clearInterval(extra)
stopping = true
const sorted = accepted.sort((a, b) => a - b)
const perToken = (cpu * 1000) / sent
const line = (name: string, value: string): void => console.log(`${name.padEnd(34)} ${value}`)
line('tokens/s', (sent / (ms / 1000)).toFixed(0))
line('jobs ended/s', ((ended - at.ended) / (ms / 1000)).toFixed(0))
line(
  'CPU µs/token, all threads, jobs too',
  `${(perToken - alone).toFixed(2)} (and the load itself ${alone.toFixed(2)})`,
)
line('CPU %', ((cpu / ms) * 100).toFixed(0))
line('commits/s', ((commits.count - at.commits.count) / (ms / 1000)).toFixed(0))
line(
  'commit p99 / longest ms',
  `${commits.p99.toFixed(2)} / ${commits.max.toFixed(1)}; over 5 ms: ${commits.over - at.commits.over}`,
)
line('event loop p99 / longest ms', `${(loop.percentile(99) / 1e6).toFixed(1)} / ${(loop.max / 1e6).toFixed(1)}`)
line('fdatasync/s, longest ms', `${((syncs.count - at.syncs.count) / (ms / 1000)).toFixed(0)}, ${syncs.max.toFixed(1)}`)
line(
  'accepted p50 / p99 ms',
  sorted.length === 0
    ? '-'
    : `${sorted[Math.floor(sorted.length / 2)].toFixed(1)} / ${sorted[Math.floor(sorted.length * 0.99)].toFixed(1)}`,
)
line('WAL max MB', (now('wal_max_bytes') / 1e6).toFixed(0))
line(
  'store now: bytes a token',
  `${((now('used_bytes') - bodyBytes) / load.sent).toFixed(0)} in use, ` +
    `${durability === 'memory' ? 0 : ((statSync(join(dir, 'sluice.db')).size - bodyBytes) / load.sent).toFixed(0)} ` +
    'of file',
)
line('segments, live log MB', `${now('segments')}, ${(now('live_log_bytes') / 1e6).toFixed(1)}`)
line('RSS MB', (process.memoryUsage.rss() / 1e6).toFixed(0))
line('told / sent', `${told} / ${load.sent}`)
clearInterval(timer)
clearInterval(heart)
await engine.close()
rmSync(dir, { recursive: true })
