/** One attempt against a queue, a log and a provider that the test plays; the clock moves only when told. */
import { describe, expect, it } from 'vitest'
import { type ManualClock, manualClock } from '../../test/manual-clock.ts'
import { createAnswerGuards } from '../admission/answers.ts'
import { guardSettings } from '../admission/settings.ts'
import { createCoordinator } from '../coordinator/coordinator.ts'
import { OPTIONS, job as scheduled } from '../coordinator/scheduler/testing/jobs.ts'
import { foldAnswer } from '../core/answer.ts'
import { SluiceError } from '../core/errors.ts'
import type { Happened } from '../core/facts.ts'
import { isGood } from '../core/goals.ts'
import type { Job } from '../core/job.ts'
import { type Shortfall, wireLimit } from '../core/limits.ts'
import type { AnswerGuards } from '../core/ports/admission.ts'
import { NO_FALLBACKS } from '../core/ports/coordinator.ts'
import type { LogPage } from '../core/ports/log.ts'
import type { Deployment, ProviderCall, ProviderSink } from '../core/ports/provider.ts'
import type { Claim, Finished, Lease, Outcome } from '../core/ports/work.ts'
import type { Bytes } from '../core/record.ts'
import type { UsageRecord } from '../core/usage-record.ts'
import { Catalogue } from '../routing/catalogue.ts'
import { Run } from './run-job.ts'
import { memoryFiles } from './testing/memory-files.ts'

const CHUNK =
  '{"id":"c1","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
const OPENING = CHUNK.replace('"Hi"', '""')
const DOCUMENT = '{"id":"d1","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
const BUSY = new SluiceError('provider_rate_limited', { retryAfterMs: 1_000 })

interface Stage {
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
function setUp(
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
  { guards = { stand: () => null } as AnswerGuards, body = '{"messages":[]}' } = {},
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
          hedge: () => Promise.resolve(null),
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
          async prompt({ body }) {
            await promptAfter
            return body
          },
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

const turn = (): Promise<void> => new Promise((next) => setImmediate(next))
const over = (run: Run): Promise<void> => new Promise((done) => run.ended.when(done))

it('asks for a document where the job wants one, stores it as it is, and counts it', async () => {
  const { stored, outcomes, calls, attempt } = setUp()
  const { run, sink } = await attempt({ document: true })
  expect(calls[0].stream).toBe(false)
  sink.document(DOCUMENT, { prompt_tokens: 5, completion_tokens: 2 })
  sink.end({ kind: 'done' })
  await over(run)
  expect(stored.at(-1)).toBe(`@document ${DOCUMENT}`)
  expect(outcomes).toMatchObject([{ kind: 'done', usage: { promptTokens: 5, completionTokens: 2, estimated: false } }])
})

it('what answers in place of another model is asked for by its own name, and told what was left', async () => {
  const models = [{ model: 'instead' }, { model: 'instead', upstreamModel: 'theirs' }, {}]
  const asked: string[] = []
  for (const { model, ...more } of models as ReadonlyArray<{ model?: string; upstreamModel?: string }>) {
    const { calls, attempt } = setUp([more], {}, { body: '{"model":"m","messages":[]}' })
    await attempt({}, 0, model === undefined ? {} : { model })
    asked.push(Buffer.from(calls[0].body).toString())
  }
  // Where the deployment has a name for it, the provider puts that
  expect(asked.map((body) => (JSON.parse(body) as { model: string }).model)).toEqual(['instead', 'm', 'm'])
})

it('tells the plan what the upstream said of its limits, and how long ago', async () => {
  const { clock, outcomes, attempt } = setUp()
  const { run, sink } = await attempt({})
  clock.advance(10)
  sink.events([CHUNK])
  clock.advance(700)
  sink.end({ kind: 'done', limits: { requests: { remaining: 3 } } })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'done', quota: { agoMs: 700, requests: { remaining: 3 } } }])
})

it.each([
  ['always', true],
  ['never', false],
] as const)('asks by the deployment where that is set: %s', async (stream, asks) => {
  const { calls, attempt } = setUp([{ stream }])
  await attempt({ document: asks })
  expect(calls[0].stream).toBe(asks)
})

it('a document after the chunks of an earlier attempt is one more chunk, under their name', async () => {
  const { stored, attempt } = setUp([{}, {}])
  const first = await attempt()
  first.sink.events([OPENING])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  const second = await attempt()
  second.sink.document(DOCUMENT, undefined)
  second.sink.end({ kind: 'done' })
  await over(second.run)
  expect(JSON.parse(stored.at(-1)!)).toMatchObject({ id: 'c1', choices: [{ delta: { content: 'Hi' } }] })
})

it('measures by the monotonic clock, whatever the wall clock does', async () => {
  const { clock, outcomes, firstTexts, attempt } = setUp()
  clock.advance(100)
  clock.jumpWall(-3_600_000)
  const { run, sink } = await attempt()
  clock.advance(50)
  clock.jumpWall(10 * 365 * 86_400_000)
  sink.events([CHUNK])
  clock.advance(40)
  sink.events([CHUNK, CHUNK])
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ timing: { queuedMs: 100, ttftMs: 150, tpotMs: 20, totalMs: 190 } }])
  expect(firstTexts).toEqual([150])
})

it('a 429 uses up no attempt until the deadline, whatever the wall clock does', async () => {
  const { clock, outcomes, attempt } = setUp()
  const refuse = async (): Promise<void> => {
    const { run, sink } = await attempt()
    sink.end({ kind: 'failed', error: BUSY, retry: true })
    await over(run)
  }
  clock.jumpWall(10 * 365 * 86_400_000)
  await refuse()
  expect(outcomes.at(-1)).toEqual({ kind: 'released' })
  clock.advance(40_000)
  await refuse()
  expect(outcomes.at(-1)).toEqual({ kind: 'released' })
  clock.jumpWall(-20 * 365 * 86_400_000)
  // The wait would end after the deadline: it is told now, with the time
  clock.advance(18_000)
  await refuse()
  expect(outcomes.at(-1)).toMatchObject({ kind: 'failed', retry: false, error: { code: 'provider_rate_limited' } })
})

it('keeps the time of the first token over a continued answer, and sums its tokens', async () => {
  const { clock, stored, outcomes, calls, attempt } = setUp([{}, {}])
  const first = await attempt()
  clock.advance(30)
  first.sink.events([OPENING, CHUNK, CHUNK])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: true, usage: { completionTokens: 2, estimated: true } }])
  clock.advance(100)
  const second = await attempt()
  expect(calls[1].prefix).toBe('HiHi')
  clock.advance(20)
  second.sink.events([CHUNK, '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}'])
  second.sink.end({ kind: 'done' })
  await over(second.run)
  expect(outcomes[1]).toMatchObject({
    kind: 'done',
    usage: { promptTokens: 8, completionTokens: 3, estimated: true },
    attemptUsage: { promptTokens: 5, completionTokens: 1, estimated: false },
    timing: { queuedMs: 100, ttftMs: 30, tpotMs: 60 },
  })
  // Its reader is told of all of it, under the first attempt's name
  expect(JSON.parse(stored.at(-1)!.slice('@usage '.length))).toMatchObject({
    id: 'c1',
    usage: { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11, estimated: true },
  })
  expect(stored.filter((record) => record.startsWith('@usage'))).toHaveLength(1)
})

it('local faults wait, without an attempt used', async () => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.end({ kind: 'failed', error: new SluiceError('overloaded', { retryAfterMs: 1_000 }), retry: true })
  await over(run)
  expect(outcomes).toEqual([{ kind: 'released' }])
})

it('a time-out is repeated elsewhere, or not at all', async () => {
  const error = new SluiceError('provider_timeout')
  for (const [deployments, retry] of [
    [[{}], false],
    [[{}, {}], true],
  ] as const) {
    const { outcomes, attempt } = setUp(deployments)
    const { run, sink } = await attempt()
    sink.end({ kind: 'failed', error, retry: 'elsewhere' })
    await over(run)
    expect(outcomes).toMatchObject([{ kind: 'failed', retry }])
  }
})

it('another deployment does not wait until the first is free', async () => {
  const { outcomes, attempt } = setUp([{}, {}])
  const { run, sink } = await attempt()
  sink.end({ kind: 'failed', error: new SluiceError('provider_error', { retryAfterMs: 9_000 }), retry: true })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: true }])
  expect((await attempt()).run.lease.claim.deployment).toBe('d1')
})

it.each(['canceled', 'released'] as const)('%s: an answer that has ended waits for no verdict', async (reason) => {
  let sink!: ProviderSink
  const provider = {
    continues: true,
    start(_call: ProviderCall, to: ProviderSink) {
      sink = to
      // Its call has ended by then
      return { abort() {}, pause() {}, resume() {} }
    },
  }
  const settings = guardSettings.parse([{ guard: 'moderation', url: 'http://127.0.0.1:1/v1/moderations' }])
  const moderate = () => new Promise<never>(() => {})
  const guards = createAnswerGuards(() => settings, { moderate, emit() {}, onFault() {} })
  const body = '{"messages":[{"role":"user","content":"Hi"}]}'
  const { stored, outcomes, attempt } = setUp([{ provider: provider as never }], {}, { guards, body })
  const { run } = await attempt()
  sink.events([CHUNK])
  sink.end({ kind: 'done' })
  const before = stored.length
  expect(outcomes).toEqual([])
  run.stop(reason)
  await turn()
  expect([outcomes.map(({ kind }) => kind), stored.length]).toEqual([[reason], before])
})

it('an answer above the cap ends the job, and is not asked for again', async () => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.events([CHUNK.replace('Hi', 'x'.repeat(2_000))])
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: false, error: { code: 'result_too_large' } }])
})

it.each<[string, (sink: ProviderSink) => void, Partial<Job>]>([
  ['an event that can not be read', (sink) => sink.events(['{"choices":']), {}],
  ['a document that can not be read', (sink) => sink.document('{"choices":', undefined), {}],
])('%s ends the job, not the process', async (_name, feed, more) => {
  const { outcomes, attempt, stored } = setUp()
  stored.push(OPENING)
  const { run, sink } = await attempt(more)
  feed(sink)
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed' }])
})

it('a store that can not be read, then an upstream that breaks off, ends the attempt', async () => {
  const broken = { read: false }
  const { outcomes, attempt } = setUp([{}], broken)
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  broken.read = true
  sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'internal' } }])
})

const FAULT = new TypeError('a fault of ours')
it.each([
  ['while its end is told', { emit: true }, FAULT],
  ['while it is finished', { finishOnce: FAULT }, FAULT],
  ['in one write of the store', { finishOnce: new SluiceError('internal') }, new SluiceError('internal')],
])('a fault of ours %s ends the job, and is logged', async (_when, broken, fault) => {
  const { outcomes, faults, attempt } = setUp([{}], broken)
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  sink.end({ kind: 'done' })
  await over(run)
  expect(faults).toEqual([fault])
  expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'internal' }, retry: false }])
})

it('a call that the provider aborts by itself is a fault, and is tried again', async () => {
  const { outcomes, faults, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.end({ kind: 'aborted' })
  await over(run)
  expect(faults).toEqual([new Error('the provider aborted a call that nobody had stopped')])
  expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'internal' }, retry: true }])
})

it('a store that can not be written leaves the lease to a restart', async () => {
  const { outcomes, faults, attempt } = setUp([{ concurrent: 1 }], { finish: true })
  const { run, sink } = await attempt()
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'done' }])
  expect(faults).toEqual([])
})

it.each([
  ['lost', []],
  ['canceled', [{ kind: 'canceled' }]],
  ['released', [{ kind: 'released' }]],
] as const)('an attempt that is %s while its prompt is made ends without a call', async (reason, ended) => {
  const { outcomes, calls, attempt, holdPrompt } = setUp()
  const go = holdPrompt()
  const beginning = attempt()
  await new Promise((turn) => setImmediate(turn))
  const run = await go.run
  run.stop(reason)
  go.now()
  await over(run)
  await beginning
  expect(calls).toEqual([])
  expect(outcomes).toMatchObject(ended)
})

it('a deployment that was taken out of the configuration hands the job back, and nothing is stored', async () => {
  const { outcomes, stored, attempt, remove } = setUp()
  remove()
  const { run } = await attempt()
  await over(run)
  expect([outcomes, stored]).toEqual([[{ kind: 'released', inMs: 1_000 }], []])
})

it('a conversation whose answer can not be put together fails, and its lane goes on', async () => {
  const { outcomes, attempt, stored } = setUp()
  const { run, sink } = await attempt({ options: { deadlineMs: 60_000, conversation: 'c' } as never })
  sink.events([CHUNK])
  stored.push('{"half":')
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: false, error: { code: 'provider_garbage' } }])
})

it.each([
  ['for a while is waited for, and the answer is a turn of its conversation', 3, { kind: 'done' }],
  ['for good ends the attempt', Infinity, { kind: 'failed', error: { code: 'storage_unavailable' } }],
] as const)('a store that is away when a complete answer is read back %s', async (_how, away, ended) => {
  const { outcomes, attempt, clock } = setUp([{}], { away })
  const { run, sink } = await attempt({ options: { deadlineMs: 60_000, conversation: 'c' } as never })
  sink.events([CHUNK])
  sink.end({ kind: 'done' })
  for (let s = 0; s < 400; s++) {
    clock.advance(1_000)
    await turn()
  }
  await over(run)
  expect(outcomes).toMatchObject([ended])
})

it.each([
  ['is slower than the upstream', (sink: ProviderSink) => sink.events([CHUNK])],
  [
    'fails before the upstream breaks off',
    (sink: ProviderSink) => {
      sink.events([CHUNK])
      sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
    },
  ],
])('a store that fails and %s ends the attempt, not the process', async (_how, play) => {
  const { outcomes, attempt } = setUp([{}], { flush: true, finish: true })
  const { run, sink } = await attempt()
  play(sink)
  await over(run)
  expect(outcomes).toHaveLength(1)
})

it.each([
  ['provider_unreachable', 0],
  ['provider_rejected', 0],
  ['provider_auth', 0],
  ['provider_error', 0],
  ['provider_timeout', 3],
] as const)('an attempt of which nothing came, and that ended with %s, costs %i tokens', async (code, promptTokens) => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.end({ kind: 'failed', error: new SluiceError(code), retry: false })
  await over(run)
  expect(outcomes).toMatchObject([{ usage: { promptTokens, completionTokens: 0 } }])
})

it('a refusal after text costs what was shown', async () => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  sink.end({ kind: 'failed', error: new SluiceError('provider_rejected'), retry: false })
  await over(run)
  expect(outcomes).toMatchObject([{ usage: { promptTokens: 3, completionTokens: 1 } }])
})

it('a failure whose wait ends after the deadline is told at once, with the time; also of a later attempt', async () => {
  const { clock, outcomes, attempt } = setUp()
  const fail = async (retryAfterMs: number): Promise<void> => {
    const { run, sink } = await attempt()
    sink.end({ kind: 'failed', error: new SluiceError('provider_error', { retryAfterMs }), retry: true })
    await over(run)
  }
  await fail(40_000)
  expect(outcomes.at(-1)).toMatchObject({ retry: true })
  clock.advance(40_001)
  await fail(40_000)
  expect(outcomes.at(-1)).toMatchObject({ kind: 'failed', retry: false, error: { retryAfterMs: 40_000 } })
})

it('a wait counts though there is another deployment, where that must be waited for too', async () => {
  for (const code of ['provider_error', 'provider_rate_limited'] as const) {
    const { outcomes, attempt } = setUp([{}, {}])
    for (let i = 0; i < 2; i++) {
      const { run, sink } = await attempt()
      sink.end({ kind: 'failed', error: new SluiceError(code, { retryAfterMs: 120_000 }), retry: true })
      await over(run)
    }
    expect(outcomes[0]).toMatchObject(
      code === 'provider_error' ? { kind: 'failed', retry: true } : { kind: 'released' },
    )
    expect(outcomes[1]).toMatchObject({ kind: 'failed', retry: false, error: { retryAfterMs: 120_000 } })
  }
})

it('an answer that is begun anew has a first token of its own, under the identity of the first', async () => {
  const { clock, stored, outcomes, attempt } = setUp([{}, {}])
  const options = { deadlineMs: 60_000, onWorkerLoss: 'restart' } as Job['options']
  const first = await attempt({ options })
  clock.advance(30)
  first.sink.events([CHUNK])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  const second = await attempt({ options })
  const from = stored.length
  clock.advance(20)
  second.sink.events([OPENING, CHUNK.replace('c1', 'c2')])
  expect(stored.slice(from)).toEqual([OPENING, CHUNK])
  second.sink.end({ kind: 'done' })
  await over(second.run)
  expect(outcomes[1]).toMatchObject({ kind: 'done', timing: { ttftMs: 50 } })
})

it('what comes after a stop is not stored', async () => {
  const { stored, outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  const had = [...stored]
  run.stop('canceled')
  sink.events([CHUNK])
  sink.document(DOCUMENT, null)
  await over(run)
  expect(stored).toEqual(had)
  expect(outcomes).toMatchObject([{ kind: 'canceled', usage: { completionTokens: 1 } }])
})

it('a long answer is continued from all of it, page by page', async () => {
  const { calls, attempt } = setUp([{}, {}], { pageRecords: 2 })
  const first = await attempt()
  first.sink.events([OPENING, CHUNK, CHUNK, CHUNK, CHUNK])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  await attempt()
  expect(calls[1].prefix).toBe('HiHiHiHi')
})

describe('an answer that is cut', () => {
  const CAUSE: Shortfall = {
    level: 'user',
    name: 'u',
    unit: 'tokens',
    limit: 10,
    weight: 11,
    left: 0,
    waitMs: 1_000,
  }
  const USAGE = '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}'
  const ended = (index: number, reason: string): Bytes =>
    `{"id":"c1","choices":[{"index":${index},"delta":{},"finish_reason":"${reason}"}]}`
  const reasons = (stored: readonly Bytes[]): unknown =>
    foldAnswer(stored).choices.map(({ index, finishReason }) => [index, finishReason])

  it('ends well: each choice that has no end gets one, and what was seen is its usage', async () => {
    const { stored, outcomes, used, facts, attempt } = setUp([{}], {}, { body: '{"messages":[],"n":3}' })
    const { run, sink } = await attempt()
    sink.events([OPENING, CHUNK, CHUNK.replace('"index":0', '"index":1'), ended(1, 'stop')])
    sink.events([CHUNK])
    run.cut(CAUSE)
    run.cut(CAUSE)
    sink.events([CHUNK])
    await over(run)
    const head = '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":['
    const cut = JSON.stringify(wireLimit(CAUSE))
    expect(stored.slice(-3)).toEqual([
      ...[0, 2].map(
        (index) =>
          `${head}{"index":${index},"delta":{},"logprobs":null,"finish_reason":"length","sluice":{"cut":${cut}}}]}`,
      ),
      `@usage ${head}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"estimated":true}}`,
    ])
    expect(reasons(stored)).toEqual([
      [0, 'length'],
      [1, 'stop'],
      [2, 'length'],
    ])
    const usage = { promptTokens: 3, completionTokens: 4, estimated: true }
    expect(outcomes).toMatchObject([{ kind: 'done', cut: CAUSE, usage, attemptUsage: usage }])
    expect(used).toMatchObject([{ end: 'cut', usage, nanoDollars: 304, priceVersion: 'p1' }])
    expect(facts.filter(({ type }) => type === 'answer-cut')).toMatchObject([
      { job: 'job_1', attempt: 1, deployment: 'd0', limitLevel: 'user', unit: 'tokens', window: null },
    ])
  })

  it('of which nothing is there yet has an end, too', async () => {
    const { stored, outcomes, attempt } = setUp()
    const { run } = await attempt()
    run.cut(CAUSE)
    await over(run)
    expect(JSON.parse(stored.at(-2)!)).toMatchObject({
      id: 'chatcmpl-job_1',
      model: 'm',
      object: 'chat.completion.chunk',
      choices: [{ sluice: { cut: { level: 'user', name: 'u', requested: 11 } } }],
    })
    expect([reasons(stored), outcomes[0].kind]).toEqual([[[0, 'length']], 'done'])
  })

  it('tells its own client whose limit it was, and nobody with whom the answer may be shared', async () => {
    const { stored, attempt } = setUp()
    const { run, sink } = await attempt({ share: { key: 'k' } as never })
    sink.events([CHUNK])
    run.cut(CAUSE)
    await over(run)
    const { choices } = JSON.parse(stored.at(-2)!)
    expect(choices[0].sluice.cut).toEqual({ level: 'user', unit: 'tokens', limit: 10, requested: 11, reset_ms: 1_000 })
  })

  it('when it had come to its end is complete, and its usage is waited for', async () => {
    const { stored, outcomes, used, attempt } = setUp()
    const { run, sink } = await attempt()
    sink.events([CHUNK, ended(0, 'stop')])
    run.cut(CAUSE)
    sink.events([USAGE])
    sink.end({ kind: 'done' })
    await over(run)
    expect(reasons(stored)).toEqual([[0, 'stop']])
    expect(outcomes).toMatchObject([
      { kind: 'done', usage: { promptTokens: 5, completionTokens: 1, estimated: false } },
    ])
    expect([outcomes[0], used[0].end]).toEqual([expect.not.objectContaining({ cut: CAUSE }), 'done'])
  })

  it('whose upstream gives each chunk a reason ends, too', async () => {
    const { outcomes, attempt } = setUp()
    const { run, sink } = await attempt()
    for (let i = 0; i < 2; i++) {
      sink.events([CHUNK.replace('null', '"stop"')])
      run.cut(CAUSE)
    }
    await over(run)
    // No choice is open
    expect(outcomes).toEqual([expect.not.objectContaining({ cut: CAUSE })])
    expect(outcomes).toMatchObject([{ kind: 'done', usage: { completionTokens: 2 } }])
  })

  it('came in one piece: it is complete', async () => {
    const { stored, outcomes, attempt } = setUp()
    const { run, sink } = await attempt({ document: true })
    sink.document(DOCUMENT, { prompt_tokens: 5, completion_tokens: 2 })
    run.cut(CAUSE)
    sink.end({ kind: 'done' })
    await over(run)
    expect(stored.at(-1)).toBe(`@document ${DOCUMENT}`)
    expect(outcomes).toEqual([expect.not.objectContaining({ cut: CAUSE })])
  })

  it('is a turn of its conversation', async () => {
    const { outcomes, attempt } = setUp()
    const { run, sink } = await attempt({ options: { deadlineMs: 60_000, conversation: 'c' } as never })
    sink.events([CHUNK])
    run.cut(CAUSE)
    await over(run)
    expect(outcomes).toMatchObject([{ kind: 'done', cut: CAUSE, answer: '{"role":"assistant","content":"Hi"}' }])
  })

  it.each(['canceled', 'lost'] as const)('and then %s is what it is then', async (reason) => {
    const { outcomes, attempt } = setUp([{}], { away: 1 })
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    run.cut(CAUSE)
    await turn()
    run.stop(reason)
    await over(run)
    expect(outcomes.map(({ kind }) => kind)).toEqual(reason === 'lost' ? [] : [reason])
  })
})

describe('what an attempt came to', () => {
  it.each(['canceled', 'released'] as const)('is nothing where it is %s before its call', async (reason) => {
    const { outcomes, used, facts, attempt, holdPrompt } = setUp()
    const go = holdPrompt()
    const beginning = attempt()
    const run = await go.run
    run.stop(reason)
    go.now()
    await over(run)
    await beginning
    expect([outcomes.map(({ kind }) => kind), used]).toEqual([[reason], []])
    expect(facts.find(({ type }) => type === 'attempt-ended')).not.toHaveProperty('usage')
  })

  it('is nothing where a later one is canceled before its call, and its job keeps what the first came to', async () => {
    const { outcomes, used, attempt, holdPrompt } = setUp([{}, {}])
    const first = await attempt()
    first.sink.events([CHUNK])
    first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
    await over(first.run)
    const go = holdPrompt()
    const beginning = attempt()
    const run = await go.run
    run.stop('canceled')
    go.now()
    await over(run)
    await beginning
    expect(used).toMatchObject([{ attempt: 1, end: 'failed', usage: { promptTokens: 3, completionTokens: 1 } }])
    expect(outcomes[1]).toMatchObject({ kind: 'canceled', usage: { promptTokens: 3, completionTokens: 1 } })
  })

  it('is told by one that is handed back in the middle of its answer', async () => {
    const { used, attempt } = setUp()
    const { run, sink } = await attempt()
    sink.events([CHUNK, CHUNK])
    run.stop('released')
    await over(run)
    expect(used).toMatchObject([
      { end: 'released', usage: { promptTokens: 3, completionTokens: 2, estimated: true }, nanoDollars: 302 },
    ])
  })

  it.each<[string, { finishOnce?: Error }, (sink: ProviderSink) => void]>([
    ['that its provider aborts', {}, (sink) => sink.end({ kind: 'aborted' })],
    ['whose end can not be stored for a fault of ours', { finishOnce: FAULT }, (sink) => sink.end({ kind: 'done' })],
  ])('is told by one %s', async (_name, broken, end) => {
    const { used, attempt } = setUp([{}], broken)
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    end(sink)
    await over(run)
    expect(used).toMatchObject([{ end: 'failed', usage: { promptTokens: 3, completionTokens: 1 }, nanoDollars: 301 }])
  })

  it('is told once, as the provider reported it', async () => {
    const { used, attempt } = setUp()
    const { run, sink } = await attempt()
    const kinds = '"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":6}'
    sink.events([CHUNK, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,${kinds}}}`])
    sink.end({ kind: 'done' })
    await over(run)
    expect(used).toMatchObject([
      {
        job: 'job_1',
        attempt: 1,
        deployment: 'd0',
        end: 'done',
        usage: { promptTokens: 5, completionTokens: 7, cachedTokens: 4, reasoningTokens: 6, estimated: false },
        nanoDollars: 507,
        priceVersion: 'p1',
      },
    ])
  })
})

describe('a store that is away while the log is read is not waited for', () => {
  it.each([
    ['canceled', ['canceled']],
    ['released', ['released']],
    ['lost', []],
  ] as const)('by an attempt that is %s', async (reason, ended) => {
    for (const conversation of [{}, { conversation: 'c' }]) {
      const { outcomes, attempt } = setUp([{}], { away: Infinity })
      const { run, sink } = await attempt({ options: { deadlineMs: 60_000, ...conversation } as never })
      sink.events([CHUNK])
      const failed = { kind: 'failed', error: new SluiceError('provider_cut'), retry: true } as const
      sink.end('conversation' in conversation ? { kind: 'done' } : failed)
      await turn()
      run.stop(reason)
      await over(run)
      expect(outcomes.map(({ kind }) => kind)).toEqual(ended)
    }
  })
})

describe('the time to first token', () => {
  const partsOf = (facts: readonly Happened[]) =>
    facts.flatMap((fact) => (fact.type === 'first-token-received' ? [fact.parts] : []))

  it('goes to line, prompt, connection and upstream', async () => {
    const { clock, facts, outcomes, sent, holdPrompt, attempt } = setUp()
    const prompt = holdPrompt()
    clock.advance(100)
    const begun = attempt({ admissionMs: 7 }, 11)
    const run = await prompt.run
    clock.advance(5)
    prompt.now()
    const { sink } = await begun
    await turn()
    clock.advance(30)
    sent()
    clock.advance(200)
    sink.events([OPENING])
    clock.advance(50)
    sink.events([CHUNK])
    clock.advance(40)
    sink.end({ kind: 'done' })
    await over(run)
    const parts = { admission: 7, queue: 100, retries: 0, routing: 16, connect: 30, upstream: 250, delivery: 0 }
    expect(partsOf(facts)).toEqual([parts])
    expect(outcomes).toMatchObject([{ timing: { queuedMs: 100, ttftMs: 396, parts } }])
  })

  it('adds up to it, over failed and handed back attempts, and is that of the attempt that gave it', async () => {
    const random = mulberry(17)
    const some = (most: number): number => Math.floor(random() * most * 1_000) / 1_000
    for (let n = 0; n < 60; n++) {
      const { clock, facts, outcomes, sent, attempt } = setUp([{}, {}, {}, {}])
      let [queue, retries] = [0, 0]
      for (let failures = Math.floor(random() * 4); ; failures--) {
        const waited = 6_000 + some(300)
        clock.advance(waited)
        queue += waited
        const committing = some(30)
        const { run, sink } = await attempt({}, committing)
        const connecting = random() < 0.5 ? some(40) : null
        if (connecting !== null) {
          clock.advance(connecting)
          sent()
        }
        const answering = some(900)
        clock.advance(answering)
        if (failures > 0) {
          retries += committing + (connecting ?? 0) + answering
          if (random() < 0.3) run.stop('released')
          else sink.end({ kind: 'failed', error: new SluiceError('provider_error'), retry: true })
          await over(run)
          continue
        }
        sink.events([CHUNK])
        sink.end({ kind: 'done' })
        await over(run)
        const { timing } = outcomes.at(-1) as Outcome & { kind: 'done' }
        const [{ delivery: _none, ...parts }] = partsOf(facts)
        const truth = {
          admission: 0,
          queue,
          retries,
          routing: committing,
          connect: connecting ?? 0,
          upstream: answering,
        }
        for (const [part, ms] of Object.entries(truth)) expect(parts[part as keyof typeof parts]).toBeCloseTo(ms, 2)
        expect(Object.values(parts).reduce((sum, ms) => sum + ms)).toBeCloseTo(timing.ttftMs!, 2)
        break
      }
    }
  })

  it('of an answer that is continued is that of its first attempt, which told it', async () => {
    const { clock, facts, outcomes, attempt } = setUp()
    clock.advance(10)
    const first = await attempt()
    clock.advance(20)
    first.sink.events([CHUNK])
    first.run.stop('released')
    await over(first.run)
    clock.advance(500)
    const second = await attempt()
    second.sink.events([CHUNK])
    second.sink.end({ kind: 'done' })
    await over(second.run)
    expect(partsOf(facts)).toMatchObject([{ queue: 10, upstream: 20 }])
    expect(outcomes[1]).toMatchObject({ timing: { ttftMs: 30 } })
    expect((outcomes[1] as Outcome & { kind: 'done' }).timing).not.toHaveProperty('parts')
  })
})

describe('an answer that comes in one piece', () => {
  it('has no time to a first token: how long it took as a whole misses no goal for that', async () => {
    const { clock, facts, outcomes, attempt } = setUp()
    const { run, sink } = await attempt({ document: true })
    clock.advance(5_000)
    sink.document(DOCUMENT, { prompt_tokens: 5, completion_tokens: 100 })
    sink.end({ kind: 'done' })
    await over(run)
    expect(facts.find(({ type }) => type === 'first-token-received')).toMatchObject({ isWhole: true })
    const { timing } = outcomes[0] as Outcome & { kind: 'done' }
    expect(timing).toMatchObject({ totalMs: 5_000, parts: { upstream: 5_000 } })
    expect(timing).not.toHaveProperty('ttftMs')
    expect(isGood('done', timing, { ttftMs: 1_500, tpotMs: 50 })).toBe(true)
  })

  it('has one where chunks came before it', async () => {
    const { clock, facts, outcomes, attempt } = setUp()
    const { run, sink } = await attempt()
    clock.advance(30)
    sink.events([CHUNK])
    clock.advance(5_000)
    sink.document(DOCUMENT, null)
    sink.end({ kind: 'done' })
    await over(run)
    expect(facts.filter(({ type }) => type === 'first-token-received')).toEqual([
      expect.not.objectContaining({ isWhole: true }),
    ])
    expect(outcomes[0]).toMatchObject({ timing: { ttftMs: 30 } })
  })
})

describe('the pace', () => {
  const usage = (tokens: number, reasoning = 0): Bytes =>
    JSON.stringify({
      choices: [],
      usage: {
        prompt_tokens: 3,
        completion_tokens: tokens,
        completion_tokens_details: { reasoning_tokens: reasoning },
      },
    })
  const THOUGHT = CHUNK.replace('"content"', '"reasoning_content"')

  /** Three chunks, 100 ms apart, the first one alone. */
  async function paced(first: Bytes, last: Bytes): Promise<number | undefined> {
    const { clock, outcomes, attempt } = setUp()
    const { run, sink } = await attempt()
    clock.advance(300)
    sink.events([first])
    for (let i = 0; i < 2; i++) {
      clock.advance(100)
      sink.events([CHUNK])
    }
    clock.advance(70)
    sink.events([last])
    sink.end({ kind: 'done' })
    await over(run)
    return (outcomes[0] as Outcome & { kind: 'done' }).timing.tpotMs
  }

  it('is of tokens as they are reported, not of chunks; the usage ends nothing', async () => {
    // Three bundles of seven tokens: the first one's were there with the first
    expect(await paced(CHUNK, usage(21))).toBeCloseTo(200 / 14, 3)
  })

  it('counts no reasoning that was never shown', async () => {
    expect(await paced(CHUNK, usage(121, 100))).toBeCloseTo(200 / 14, 3)
    expect(await paced(THOUGHT, usage(21, 10))).toBeCloseTo(200 / 14, 3)
  })

  it('knows how many tokens the first chunk brought where it tells them', async () => {
    const first = CHUNK.replace(/\}$/, ',"usage":{"prompt_tokens":3,"completion_tokens":8}}')
    expect(await paced(first, usage(28))).toBe(10)
  })

  it('tells the progress of its own attempt where it goes on with an answer', async () => {
    const { clock, facts, attempt } = setUp()
    const first = await attempt()
    clock.advance(1_000)
    first.sink.events([CHUNK, CHUNK, CHUNK])
    first.run.stop('released')
    await over(first.run)
    const second = await attempt()
    clock.advance(1_000)
    second.sink.events([CHUNK, CHUNK])
    const told = facts.flatMap((fact) => (fact.type === 'attempt-progressed' ? [[fact.attempt, fact.tokens]] : []))
    expect(told).toEqual([
      [1, 3],
      [2, 2],
    ])
  })

  it('tells a stall, and progress twice a second', async () => {
    const { clock, facts, attempt } = setUp()
    const { sink } = await attempt()
    const SHORT = '{"choices":[{"delta":{"content":"x"}}]}'
    clock.advance(5_000)
    sink.events([OPENING])
    clock.advance(5_000)
    for (let i = 0; i < 20; i++) {
      sink.events([SHORT])
      clock.advance(100)
    }
    clock.advance(900)
    sink.events([SHORT])
    clock.advance(10)
    sink.events([SHORT])
    const told = facts.filter(({ type }) => type === 'attempt-progressed' || type === 'answer-stalled')
    expect(told).toMatchObject([
      ...[1, 6, 11, 16].map((tokens) => ({ type: 'attempt-progressed', attempt: 1, tokens })),
      { type: 'answer-stalled', ms: 1_000, deployment: 'd0' },
      { type: 'attempt-progressed', tokens: 21 },
    ])
  })
})

/** Numbers from 0 to 1, the same for the same seed. */
function mulberry(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

describe('min_speed', () => {
  /** 10 tokens in its first second. */
  const minSpeed = { tokensPerSecond: 10, overMs: 1_000 }
  const textOf = (stored: readonly Bytes[]): string => stored.filter((record) => record.includes('"Hi"')).join('\n')

  it('leaves a slow upstream for another one, unseen, and counts what it made', async () => {
    const { clock, stored, outcomes, facts, calls, used, attempt } = setUp([{ minSpeed }, { minSpeed }])
    const first = await attempt()
    first.sink.events([OPENING, CHUNK, CHUNK])
    clock.advance(999)
    expect(textOf(stored)).toBe('')
    clock.advance(1)
    await over(first.run)
    expect(outcomes[0]).toMatchObject({
      kind: 'failed',
      retry: true,
      error: { code: 'provider_timeout', message: expect.stringContaining('2 tokens in 1000 ms') },
      attemptUsage: { completionTokens: 2, estimated: true },
    })
    expect(facts.some(({ type }) => type === 'first-token-received')).toBe(false)
    // Not judged again: as slow as it is
    const second = await attempt()
    second.sink.events([CHUNK])
    expect(textOf(stored)).toContain('Hi')
    clock.advance(5_000)
    second.sink.events([CHUNK])
    second.sink.end({ kind: 'done' })
    await over(second.run)
    expect(outcomes[1]).toMatchObject({ kind: 'done', usage: { completionTokens: 2 } })
    expect(used.map(({ usage }) => usage.completionTokens)).toEqual([2, 2])
    expect(calls).toHaveLength(2)
    expect(calls[1].prefix).toBeUndefined()
  })

  it('lets it through as soon as there is enough, in its order', async () => {
    const { stored, attempt } = setUp([{ minSpeed }, {}])
    const { sink } = await attempt()
    const short = (i: number): Bytes => `{"choices":[{"index":0,"delta":{"content":"Hi ${i}"}}]}`
    for (let i = 1; i < 10; i++) sink.events([short(i)])
    expect(stored.filter((record) => record.includes('Hi '))).toEqual([])
    sink.events([short(10)])
    sink.events([short(11)])
    const texts = stored.filter((record) => record.includes('Hi ')).map((record) => /Hi (\d+)/.exec(record)![1])
    expect(texts).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11'])
  })

  it('takes an upstream that bundles many tokens into one chunk for as fast as it is', async () => {
    const { clock, stored, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK.replace('Hi', 'Hi and a lot of other words that come in one piece, as some upstreams do it')])
    clock.advance(1_000)
    expect(stored.at(-1)).toContain('one piece')
    sink.end({ kind: 'done' })
    await over(run)
  })

  it.each([
    ['ended', ({ sink }: { sink: ProviderSink }) => sink.end({ kind: 'done' }), { kind: 'done' }],
    [
      'cut',
      ({ run }: { run: Run }) =>
        run.cut({ level: 'tenant', name: null, unit: 'output', limit: 1 } as unknown as Shortfall),
      { kind: 'done', cut: { unit: 'output' } },
    ],
  ])('keeps the text of one that is %s before its time is up', async (_how, end, outcome) => {
    const { stored, outcomes, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    end({ run, sink })
    await over(run)
    expect(textOf(stored)).not.toBe('')
    expect(outcomes).toMatchObject([outcome])
  })

  it('judges nothing where there is no other deployment, no stream, or no such setting', async () => {
    for (const [deployments, more] of [
      [[{ minSpeed }], {}],
      [[{}, {}], {}],
    ] as const) {
      const { stored, attempt } = setUp(deployments)
      const { sink } = await attempt(more)
      sink.events([CHUNK])
      expect(textOf(stored)).not.toBe('')
    }
    const { stored, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt({ document: true })
    sink.document(DOCUMENT, undefined)
    sink.end({ kind: 'done' })
    await over(run)
    expect(stored.at(-1)).toBe(`@document ${DOCUMENT}`)
  })

  it('shows nothing of a call that was given up, though its time comes before its end', async () => {
    const { clock, stored, outcomes, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK.replace('Hi', 'Hi and a lot of other words that come in one piece, as some upstreams do it')])
    run.breakCall()
    clock.advance(1_000)
    await over(run)
    expect(stored.filter((record) => record.includes('one piece'))).toEqual([])
    expect(outcomes).toMatchObject([{ kind: 'failed', retry: true }])
  })

  it('what throws when its time is up ends the attempt, and no more', async () => {
    const { clock, outcomes, faults, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    // Not looked at as it came: it is scanned, not parsed
    sink.events([CHUNK.slice(0, -1)])
    expect(() => clock.advance(1_000)).not.toThrow()
    await over(run)
    expect(outcomes).toMatchObject([{ kind: 'failed' }])
    expect(faults.length).toBeLessThanOrEqual(1)
  })

  it('a canceled one is over at once, and nothing of it is judged later', async () => {
    const { clock, stored, outcomes, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    run.stop('canceled')
    await over(run)
    clock.advance(10_000)
    expect(textOf(stored)).toBe('')
    expect(outcomes).toMatchObject([{ kind: 'canceled', usage: { completionTokens: 1, estimated: true } }])
  })
})
