/** The runs of a process: each is told what concerns it, and counts until it has ended. */
import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { systemClock } from '../core/clock.ts'
import type { Happened } from '../core/facts.ts'
import type { Job } from '../core/job.ts'
import type { Deployment, Provider, ProviderSink } from '../core/ports/provider.ts'
import type { Lease, Outcome, Worker } from '../core/ports/work.ts'
import { startPool } from './pool.ts'
import { memoryFiles } from './testing/memory-files.ts'

function setUp() {
  const clock = manualClock()
  const ended: string[] = []
  const facts: Happened[] = []
  const aborted: string[] = []
  const sinks: ProviderSink[] = []
  const provider = {
    continues: true,
    start({ requestId }: { readonly requestId: string }, sink: ProviderSink) {
      sinks.push(sink)
      return { abort: () => void aborted.push(requestId), pause() {}, resume() {} }
    },
  } as unknown as Provider
  const deployment = { name: 'd', provider, stream: 'always', timeouts: {} } as Deployment
  let worker!: Worker
  const pool = startPool(
    {
      attach(to) {
        worker = to
        return { heartbeat() {}, resize() {}, leave: async () => {} }
      },
    },
    {
      media: { files: memoryFiles(), clock: systemClock, expiresAtMs: () => null },
      hasOther: () => false,
      hedge: () => Promise.resolve(null),
      raced() {},
      hasInstead: () => false,
      deployment: () => deployment,
      replay: () => deployment,
      open: () => ({ epoch: 1, head: 0, pendingBytes: 0, append() {}, noteFirstText() {}, flushed: async () => {} }),
      read: async () => null,
      prompt: ({ body }) => body,
      guards: { stand: () => null },
      price: () => () => ({ nanoDollars: null, priceVersion: null }),
      async finish({ attempt }: Lease, { kind }: Outcome) {
        ended.push(`${attempt} ${kind}`)
        return { kind: 'ended', state: 'done' }
      },
      emit: (fact) => void facts.push(fact),
      onFault() {},
      clock,
      maxAnswerBytes: 1_000,
      maxPendingBytes: 1_000,
    },
    clock,
    { id: 'w', pools: [], concurrency: 2, heartbeatMs: 1_000 },
  )
  const lease = (attempt: number): Lease => ({
    job: { id: 'job_1', kind: 'chat', promptTokens: 1, options: {} } as unknown as Job,
    body: Buffer.from('{}'),
    attempt,
    crashes: 0,
    claim: { deployment: 'd', reservation: null },
    sinceAcceptedMs: 0,
    queuedMs: 0,
    ttftMs: null,
    log: { epoch: 1, head: 0 },
  })
  return {
    pool,
    worker,
    provider,
    ended,
    aborted,
    sinks,
    leased: async (attempt: number): Promise<void> => {
      worker.leased([lease(attempt)])
      await settled()
    },
    numbers: () => pool.metrics.map((metric) => (metric.kind === 'gauge' ? metric.read() : NaN)),
    clock,
    facts,
  }
}
const settled = (): Promise<void> => new Promise((turn) => setImmediate(turn))

it('a revocation stops the attempt that it names, and no other', async () => {
  const { worker, aborted, leased } = setUp()
  await leased(2)
  worker.revoked('job_1', 1, 'lost')
  expect(aborted).toEqual([])
  worker.revoked('job_1', 2, 'lost')
  expect(aborted).toEqual(['job_1.2'])
})

it('an attempt that ends late takes nothing from the next one of its job', async () => {
  const { pool, worker, provider, sinks, ended, leased, numbers } = setUp()
  await leased(1)
  worker.revoked('job_1', 1, 'lost')
  await leased(2)
  sinks[0].end({ kind: 'aborted' })
  await settled()
  expect([ended, numbers()[0], pool.isUsing(provider)]).toEqual([[], 1, true])
  sinks[1].end({ kind: 'done' })
  await settled()
  expect([ended, numbers()[0], pool.isUsing(provider)]).toEqual([['2 done'], 0, false])
})

it('an answer that stands still is told while it does, with all that it has brought', async () => {
  const { clock, sinks, facts, leased, numbers } = setUp()
  clock.advance(1_000)
  await leased(1)
  const token = '{"choices":[{"delta":{"content":"x"}}]}'
  for (let i = 0; i < 20; i++) {
    sinks[0].events([token])
    clock.advance(10)
  }
  clock.advance(28_000)
  const told = () => facts.filter(({ type }) => /progressed|stalled|resumed/.test(type))
  const stands = [
    { type: 'attempt-progressed', tokens: 1 },
    { type: 'attempt-progressed', tokens: 20 },
    { type: 'answer-stalled', attempt: 1, deployment: 'd' },
  ]
  expect(told()).toMatchObject(stands)
  expect(numbers()).toEqual([1, 1])
  sinks[0].events([token])
  const resumed = { type: 'answer-resumed', ms: 28_010 }
  expect(told()).toMatchObject([...stands, resumed, { type: 'attempt-progressed', tokens: 21 }])
  expect(numbers()).toEqual([1, 0])
})

it('a pause ends with its attempt', async () => {
  const { clock, worker, sinks, facts, leased } = setUp()
  clock.advance(1_000)
  await leased(1)
  sinks[0].events(['{"choices":[{"delta":{"content":"x"}}]}'])
  clock.advance(5_000)
  worker.revoked('job_1', 1, 'lost')
  sinks[0].end({ kind: 'aborted' })
  await settled()
  expect(facts.at(-1)).toMatchObject({ type: 'answer-resumed', ms: 5_000 })
  const count = facts.length
  clock.advance(5_000)
  expect(facts.length).toBe(count)
})
