import { type ManualClock, manualClock } from '../../../test/manual-clock.ts'
import { createCoordinator } from '../../coordinator/coordinator.ts'
import { OPTIONS, job as scheduled } from '../../coordinator/scheduler/testing/jobs.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Happened } from '../../core/facts.ts'
import type { Job } from '../../core/job.ts'
import type { AnswerGuards } from '../../core/ports/admission.ts'
import { NO_FALLBACKS } from '../../core/ports/coordinator.ts'
import type { LogPage } from '../../core/ports/log.ts'
import type { Deployment, ProviderCall, ProviderSink } from '../../core/ports/provider.ts'
import type { Claim, Finished, Lease, Outcome } from '../../core/ports/work.ts'
import type { Bytes } from '../../core/record.ts'
import type { UsageRecord } from '../../core/usage-record.ts'
import { Catalogue } from '../../routing/catalogue.ts'
import type { RunDeps } from '../run-deps.ts'
import { Run } from '../run-job.ts'
import { memoryFiles } from './memory-files.ts'

export const CHUNK =
  '{"id":"c1","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
export const OPENING = CHUNK.replace('"Hi"', '""')
export const DOCUMENT = '{"id":"d1","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
export const FAULT = new TypeError('a fault of ours')
export const BUSY = new SluiceError('provider_rate_limited', { retryAfterMs: 1_000 })

export interface Stage {
  readonly clock: ManualClock
  readonly stored: Bytes[]
  /** What became of each attempt, by the coordinator. */
  readonly outcomes: Outcome[]
  readonly calls: ProviderCall[]
  readonly facts: Happened[]
  /** What attempts came to, by the coordinator. */
  readonly used: UsageRecord[]
  /** What was told to the log. */
  readonly faults: unknown[]
  /** What the log was told of the answer's first text. */
  readonly firstTexts: number[]
  /** The next prompt waits; `run` is the attempt that it is made for. */
  holdPrompt(): { readonly run: Promise<Run>; now(): void }
  /** A connection takes the last call's request. */
  sent(): void
  /** Takes its deployments out of the worker's catalogue. */
  remove(): void
  /** Begins the next attempt; its commit takes so long. */
  attempt(
    more?: Partial<Job>,
    leasingMs?: number,
    claimed?: Partial<Claim>,
  ): Promise<{ readonly run: Run; readonly sink: ProviderSink }>
}

interface Wire {
  sentMono: number | null
}

/** The coordinator is the real one. */
export function setUp(
  deployments: readonly Partial<Deployment>[] = [{}],
  broken: {
    read?: boolean
    /** Reads for which the store can't be reached. */
    away?: number
    finish?: boolean
    finishOnce?: Error | null
    flush?: boolean
    emit?: boolean
    pageRecords?: number
  } = {},
  {
    guards = { stand: () => null } as AnswerGuards,
    body = '{"messages":[]}',
    prompt,
    hedge = () => Promise.resolve(null),
  }: Partial<Pick<RunDeps, 'guards' | 'prompt' | 'hedge'>> & { readonly body?: string } = {},
): Stage {
  const clock = manualClock()
  const [stored, outcomes, calls]: [Bytes[], Outcome[], ProviderCall[]] = [[], [], []]
  const faults: unknown[] = []
  const facts: Happened[] = []
  const used: UsageRecord[] = []
  const firstTexts: number[] = []
  let sink!: ProviderSink
  let lastWire: Wire = { sentMono: null }
  const provider = {
    continues: true,
    start(call: ProviderCall, to: ProviderSink) {
      calls.push(call)
      sink = to
      const wire: Wire = { sentMono: null }
      lastWire = wire
      return {
        get sentMono() {
          return wire.sentMono
        },
        abort: () => queueMicrotask(() => to.end({ kind: 'aborted' })),
        pause() {},
        resume() {},
      }
    },
  }
  const timeouts = { ttftMs: 1, interTokenMs: 1, totalMs: 1 }
  const models = [
    {
      name: 'm',
      pool: 'text',
      goals: { ttftMs: 1_500, tpotMs: 50 },
      upstreamModel: null,
      policy: 'least-wait' as const,
      fallbacks: NO_FALLBACKS,
      kinds: ['chat' as const],
      deployments: deployments.map(
        (more, i): Deployment => ({
          name: `d${i}`,
          kinds: ['chat'],
          revision: '',
          provider: provider as never,
          upstreamModel: null,
          concurrent: Infinity,
          order: i,
          contextTokens: 1_000,
          conversationMembers: [],
          stream: 'as_asked',
          minSpeed: null,
          timeouts,
          ...more,
        }),
      ),
    },
  ]
  const catalogue = new Catalogue(models)
  const coordinator = createCoordinator({ ...OPTIONS, models, maxAttempts: 9, jitter: () => 0 })
  coordinator.attach({ id: 'w', pools: [], slots: 9 }, 0)
  const job = {
    id: 'job_1',
    kind: 'chat',
    model: 'm',
    takesBack: true,
    promptTokens: 3,
    acceptedAtMs: clock.wallMs(),
    options: { deadlineMs: 60_000, onWorkerLoss: 'continue' },
  } as unknown as Job
  coordinator.submit(scheduled('job_1', { model: 'm', deadlineMono: 60_000 }), 0)
  const finish = async (lease: Lease, outcome: Outcome): Promise<Finished> => {
    if (broken.finishOnce != null) {
      const thrown = broken.finishOnce
      broken.finishOnce = null
      throw thrown
    }
    if (broken.finish === true) {
      outcomes.push(outcome)
      throw new SluiceError('storage_failed')
    }
    const finished = coordinator.finish(lease.job.id, lease.attempt, outcome, clock.monoMs())
    const changes = coordinator.changes()
    for (const change of changes) if (change.type === 'used') used.push(change.record)
    const [change] = changes.filter(({ type }) => type !== 'used')
    if (change.type === 'ended')
      outcomes.push({ ...outcome, kind: change.state, error: change.error, retry: false } as Outcome)
    else if (change.type === 'returned') {
      const wasTried = change.tally.fails > fails
      fails = change.tally.fails
      const { inMs } = { inMs: undefined, ...outcome }
      const released = { kind: 'released', ...(inMs !== undefined && { inMs }) } as const
      outcomes.push(wasTried ? ({ ...outcome, retry: true } as Outcome) : released)
    }
    return finished
  }
  let fails = 0
  let promptAfter: Promise<void> | null = null
  let onRun: (run: Run) => void = () => {}
  return {
    clock,
    stored,
    outcomes,
    calls,
    faults,
    facts,
    used,
    firstTexts,
    sent() {
      lastWire.sentMono = clock.monoMs()
    },
    remove: () => catalogue.replace([]),
    holdPrompt() {
      const held = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<Run>()
      promptAfter = held.promise
      onRun = begun.resolve
      return { run: begun.promise, now: held.resolve }
    },
    async attempt(more = {}, leasingMs = 0, claimed = {}) {
      coordinator.changes()
      coordinator.lease(clock.monoMs())
      const [leased] = coordinator.changes()
      if (leased?.type !== 'leased') throw new Error('not leased')
      const { attempt, crashes, claim, sinceAcceptedMs, queuedMs, ttftMs } = leased
      clock.advance(leasingMs)
      const times = { sinceAcceptedMs: sinceAcceptedMs + leasingMs, queuedMs, leasingMs, ttftMs }
      const log = { epoch: 1, head: stored.length }
      const run = new Run(
        {
          job: { ...job, ...more },
          body: Buffer.from(body),
          attempt,
          crashes,
          claim: { ...claim, ...claimed },
          ...times,
          log,
        },
        {
          deployment: (name) => catalogue.deployment(name),
          hasInstead: () => false,
          hasOther: (_job, name) => deployments.length > 1 && name !== 'none',
          hedge,
          raced() {},
          replay: () => {
            throw new Error('nothing is repeated')
          },
          finish,
          open: () => ({
            epoch: 1,
            head: stored.length,
            pendingBytes: broken.flush === true ? 2_000_000 : 0,
            append: (records: readonly Bytes[]) => void stored.push(...records),
            noteFirstText: (ttftMs: number) => void firstTexts.push(ttftMs),
            flushed: () =>
              broken.flush === true ? Promise.reject(new SluiceError('storage_failed')) : Promise.resolve(),
          }),
          async read(_job: string, after: number): Promise<LogPage> {
            if (broken.read === true) throw new Error('EIO')
            if ((broken.away ?? 0) > 0) {
              broken.away!--
              throw new SluiceError('storage_unavailable')
            }
            const records = stored.slice(after, after + (broken.pageRecords ?? Infinity))
            return { epoch: 1, firstSeq: after + 1, records, head: stored.length, ended: false }
          },
          clock,
          media: { files: memoryFiles(), clock, expiresAtMs: () => null },
          emit(fact) {
            facts.push(fact)
            if (broken.emit === true && fact.type === 'attempt-ended') throw new TypeError('a fault of ours')
          },
          onFault: (thrown) => void faults.push(thrown),
          guards,
          price: () => (usage) => ({
            nanoDollars: 100 * usage.promptTokens + usage.completionTokens,
            priceVersion: 'p1',
          }),
          prompt:
            prompt ??
            (async ({ body }) => {
              await promptAfter
              return body
            }),
          maxAnswerBytes: 1_000,
          maxPendingBytes: 1_000_000,
        },
      )
      onRun(run)
      run.start()
      await turn()
      return { run, sink }
    },
  }
}

export const turn = (): Promise<void> => new Promise((next) => setImmediate(next))
export const over = (run: Run): Promise<void> => new Promise((done) => run.ended.when(done))
