/**
 * Spans and metrics on their way to an OpenTelemetry collector (0064). A span costs its bytes, written once; both are
 * sent from time to time. Nobody waits for the collector: what it does not take is counted.
 */
import type { Clock } from '../../core/clock.ts'
import { counter, gauge, type NumberSource } from '../../core/numbers.ts'
import type { BeginSpan } from '../../core/trace.ts'
import type { Observe } from '../emit.ts'
import { createRegistry, type Reading } from '../registry.ts'
import type { Log } from '../report.ts'
import { type Calls, createCalls } from './calls.ts'
import { createEnvelope } from './envelope.ts'
import { metricsOf } from './metrics.ts'
import { namesOf } from './names.ts'
import { Outage } from './outage.ts'
import { Outbox } from './outbox.ts'
import { createPost } from './post.ts'
import { ProtoWriter } from './protobuf.ts'
import { beginSpans, type RandomBytes } from './sampling.ts'
import type { NameSet } from './settings.ts'
import { type CalledAtOf, Spans } from './spans.ts'

export interface ExporterOptions {
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  readonly ca: string | null
  readonly traces: boolean
  readonly metrics: boolean
  readonly names: NameSet
  readonly intervalMs: number
  /** Of requests without a trace, the share that begins one that is recorded. */
  readonly sample: number
  readonly version: string
  readonly clock: Clock
  readonly random: RandomBytes
  readonly jitter: () => number
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly modelOf: (asked: string) => string
  readonly calledAt: CalledAtOf
  /** All numbers of this process. */
  readonly read: () => Promise<readonly Reading[]>
}

export interface Exporter extends NumberSource {
  readonly observers: readonly Observe[]
  /** Null: no spans are sent. */
  readonly beginSpan: BeginSpan | null
  /** Begins to send from time to time. */
  start(): void
  /** Sends what there is, by then at the latest, and nothing after. */
  stop(withinMs: number): Promise<void>
}

const MAX_BATCH_BYTES = 512 * 1024
const MAX_BATCH_SPANS = 2_048
const UUID_BYTES = 16
/** More than by which two readings of the wall clock differ, as that is one of whole milliseconds. */
const DRIFT_MS = 2

export function createExporter(options: ExporterOptions): Exporter {
  const { endpoint, headers, clock, version, intervalMs, log, jitter, random } = options
  const names = namesOf(options.names)
  const post = createPost({ ...options })
  const instanceId = uuidOf(random(UUID_BYTES))
  const wrap = createEnvelope({ serviceName: 'sluice', instanceId, version, schemaUrl: names.schemaUrl })
  const hidden = Object.values(headers)
  const startMs = clock.wallMs()
  const wall = new FineWall(clock)

  const sentSpans = counter('otlp_spans', 'Spans that the OpenTelemetry collector took')
  const lostSpans = counter('otlp_dropped_spans', 'Spans that it did not get, or did not take')
  const failures = counter('otlp_failed_metrics', 'Times that metrics did not reach the OpenTelemetry collector')

  // ---------------------------------------------------------------- spans

  const outbox = new Outbox({
    post: (body) => post('v1/traces', body),
    outage: new Outage('spans', endpoint, hidden, log, clock),
    clock,
    jitter,
    onSent: (items) => sentSpans.add(items),
    onDropped: (items) => lostSpans.add(items),
  })
  const w = new ProtoWriter()
  let items = 0
  const seal = (): void => {
    if (items === 0) return
    outbox.add({ body: wrap(w.bytes()), items })
    w.clear()
    items = 0
  }
  const spans = new Spans(
    w,
    names,
    options.calledAt,
    () => wall.nowMs(),
    () => {
      items++
      if (items >= MAX_BATCH_SPANS || w.length >= MAX_BATCH_BYTES) seal()
    },
  )

  // ---------------------------------------------------------------- metrics

  const outage = new Outage('metrics', endpoint, hidden, log, clock)
  const calls: Calls | null = options.metrics
    ? createCalls(options.modelOf, (name) => names.metrics[name] !== null)
    : null
  // No part of /metrics: it tells the same by other names
  const own = createRegistry(calls === null ? [] : [calls])
  const turn = (): Promise<void> => new Promise((next) => clock.soon(next))
  let isSending = false
  let notBeforeMono = Number.NEGATIVE_INFINITY

  /** Not tried again: the next ones tell the same, and more. */
  async function sendMetrics(): Promise<void> {
    if (isSending || clock.monoMs() < notBeforeMono) return
    isSending = true
    try {
      const readings = [...(await options.read()), ...(await own.read())]
      const times = { startMs, nowMs: clock.wallMs() }
      for await (const metrics of metricsOf(readings, names, options.calledAt, times, turn)) {
        const posted = await post('v1/metrics', wrap(metrics))
        if (posted.kind === 'taken') {
          outage.worked(0)
          outage.took(posted.partial)
          continue
        }
        failures.add()
        outage.failed(posted.why, 0)
        if (posted.kind === 'later' && posted.afterMs !== null) notBeforeMono = clock.monoMs() + posted.afterMs
        return
      }
    } catch (err) {
      failures.add()
      outage.failed((err as Error).message, 0)
    } finally {
      isSending = false
    }
  }

  // ---------------------------------------------------------------- all

  let stopTimer = (): void => {}
  return {
    metrics: [
      sentSpans,
      lostSpans,
      failures,
      gauge('otlp_waiting_bytes', 'Spans that wait for the OpenTelemetry collector', () => outbox.bytes + w.length),
    ],
    observers: [...(options.traces ? [spans.observe] : []), ...(calls === null ? [] : [calls.observe])],
    beginSpan: options.traces ? beginSpans(random, options.sample) : null,
    start() {
      stopTimer = clock.every(intervalMs, () => {
        wall.adjust()
        seal()
        if (options.metrics) void sendMetrics()
      })
    },
    async stop(withinMs) {
      stopTimer()
      notBeforeMono = Number.NEGATIVE_INFINITY
      seal()
      const late = new Promise<void>((done) => clock.after(withinMs, done))
      await Promise.all([outbox.flush(withinMs), options.metrics && Promise.race([sendMetrics(), late])])
      post.close()
    },
  }
}

/** The wall clock by the monotonic one, so that spans of one trace are in order; it follows steps and drift. */
class FineWall {
  readonly #clock: Clock
  #offsetMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#offsetMs = clock.wallMs() - clock.monoMs()
  }

  nowMs(): number {
    return this.#offsetMs + this.#clock.monoMs()
  }

  adjust(): void {
    const offsetMs = this.#clock.wallMs() - this.#clock.monoMs()
    if (Math.abs(offsetMs - this.#offsetMs) > DRIFT_MS) this.#offsetMs = offsetMs
  }
}

function uuidOf(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  const variant = ((Number.parseInt(hex[16], 16) & 3) | 8).toString(16)
  const [a, b, c, e] = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(13, 16), hex.slice(20)]
  return `${a}-${b}-4${c}-${variant}${hex.slice(17, 20)}-${e}`
}
