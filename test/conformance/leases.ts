/** What a lease brings and gives back, jobs' places, who reads them, and tickets. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Place } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Lease, Outcome } from '../../src/core/ports/work.ts'
import { accepted, type Case, DONE, draft, eventually, type Opened, pass, submit, TestWorker } from './harness.ts'
import { ANY_MODEL, GRACE_MS, model } from './settings.ts'

const failed = (code: SluiceError['code'], retry: boolean | 'elsewhere'): Outcome => ({
  kind: 'failed',
  error: new SluiceError(code),
  retry,
})

/** Ways in which a lease ends. */
const WAYS: ReadonlyArray<readonly [string, (opened: Opened, worker: TestWorker, lease: Lease) => Promise<unknown>]> = [
  ['done', ({ engine }, _worker, lease) => engine.work.finish(lease, DONE)],
  ['failed', ({ engine }, _worker, lease) => engine.work.finish(lease, failed('provider_rejected', false))],
  ['to be tried again', ({ engine }, _worker, lease) => engine.work.finish(lease, failed('provider_cut', true))],
  ['handed back', ({ engine }, _worker, lease) => engine.work.finish(lease, { kind: 'released' })],
  [
    'canceled',
    async ({ engine }, _worker, lease) => {
      await engine.jobs.cancel(lease.job.id)
      await engine.work.finish(lease, { kind: 'canceled' })
    },
  ],
  [
    'canceled, and its worker is silent',
    async (opened, worker, lease) => {
      await opened.engine.jobs.cancel(lease.job.id)
      await pass(opened, 11_000)
      await eventually(() => expect(worker.heard).toContain(`lost ${lease.job.id}`))
    },
  ],
  [
    'its lease ran out',
    async (opened, worker, lease) => {
      await pass(opened, 12_000)
      await eventually(() => expect(worker.heard).toContain(`lost ${lease.job.id}`))
    },
  ],
  ['its worker left', (_opened, worker) => worker.leave()],
  [
    'erased',
    ({ engine }, worker, lease) => Promise.all([engine.jobs.erase(lease.job.id), stopped(engine, worker, lease)]),
  ],
]

/** Ends it once its worker is told to. */
async function stopped(engine: Engine, worker: TestWorker, lease: Lease): Promise<void> {
  await eventually(() => expect(worker.revocations.length).toBe(1))
  await engine.work.finish(lease, { kind: 'canceled' })
}

export const leaseCases: readonly Case[] = [
  {
    name: 'a lease brings its claim, and how long the job has waited',
    async run(open) {
      const { engine, clock } = await open()
      engine.configure([model('m')])
      const job = await submit(engine)
      clock.leap(5_000)
      const lease = await new TestWorker(engine).one(job)
      expect(lease.claim).toEqual({ deployment: 'd of m', reservation: null })
      expect(lease.sinceAcceptedMs).toBeGreaterThanOrEqual(5_000)
      expect(lease).toMatchObject({ ttftMs: null, log: { head: 0, epoch: job.epoch } })
    },
  },
  {
    name: 'a lease tells how long it was not the turn of its job: by its lane, and by its delay',
    async run(open) {
      const { engine, clock, facts } = await open()
      engine.configure([model('m')])
      const worker = new TestWorker(engine)
      const first = await submit(engine, { options: { lane: 'chat' } })
      const lease = await worker.one(first)
      expect(lease.turnMs).toBe(0)
      const [second, delayed] = [
        await submit(engine, { options: { lane: 'chat' } }),
        await submit(engine, { options: { delayMs: 3_000 } }),
      ]
      clock.leap(5_000)
      await engine.work.finish(lease, DONE)
      const leases = new Map<string, Lease>()
      await eventually(async () => {
        for (const one of await worker.lease()) leases.set(one.job.id, one)
        expect(leases.size).toBe(2)
      })
      for (const { id } of [second, delayed]) {
        const { turnMs = 0, queuedMs } = leases.get(id)!
        expect(turnMs).toBeGreaterThanOrEqual(2_990)
        expect(turnMs).toBeLessThanOrEqual(queuedMs)
        const told = facts.flatMap((fact) => (fact.type === 'job-leased' && fact.job === id ? [fact.turnMs] : []))
        await eventually(() => expect(told).toEqual([turnMs]))
      }
      expect(leases.get(second.id)?.turnMs).toBeGreaterThanOrEqual(4_990)
    },
  },
  ...WAYS.map(
    ([way, end]): Case => ({
      name: `what a lease claimed is free again, once: ${way}`,
      async run(open) {
        const opened = await open({ leaseMs: 10_000 })
        const { engine } = opened
        engine.configure([model('m', 1)])
        const [first, other] = [new TestWorker(engine, 'first'), new TestWorker(engine, 'other')]
        const job = await submit(engine)
        const lease = await first.one(job)
        for (let i = 0; i < 3; i++) await submit(engine)
        expect(await other.lease()).toEqual([])
        await end(opened, first, lease)
        // One slot, so one job; and one more for each that ends
        for (let i = 0; i < 2; i++) {
          const leases = await other.lease()
          expect(leases.length).toBe(1)
          await engine.work.finish(leases[0], DONE)
        }
        const [status] = await engine.operations.deployments()
        expect(status).toMatchObject({ deployment: 'd of m', active: 0 })
      },
    }),
  ),
  {
    name: 'a worker is told of a lease that is committed: a kill finds its attempt',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const job = await submit(opened.engine)
      const killed = Promise.withResolvers<Opened>()
      opened.engine.work.attach({
        id: 'w1',
        pools: [],
        slots: 1,
        // In the very call that tells of it
        leased: () => killed.resolve(opened.reopen('kill')),
        revoked() {},
        cut() {},
      })
      const { engine } = await killed.promise
      expect(await new TestWorker(engine).one(job)).toMatchObject({ attempt: 2 })
    },
  },
  {
    name: 'a lease that is lost before it is stored is told to nobody',
    async run(open) {
      const { engine, facts } = await open()
      const taken: Lease[] = []
      const first = engine.work.attach({
        id: 'w1',
        pools: [],
        slots: 1,
        leased: (leases) => void taken.push(...leases),
        revoked() {},
        cut() {},
      })
      const submitting = engine.submissions.submit([draft()])
      await null // it is decided at the end of the call, and stored at the end of the turn
      const left = first.leave()
      const job = accepted((await submitting)[0])
      await left
      expect(taken).toEqual([])
      const lease = await new TestWorker(engine, 'w2').one(job)
      const leases = facts.flatMap((fact) => (fact.type === 'job-leased' ? [fact.attempt] : []))
      expect(leases).toEqual([lease.attempt])
      await engine.work.finish(lease, DONE)
    },
  },
  {
    name: 'where a job failed, and when it first showed text, outlives the process',
    needs: 'kill',
    async run(open) {
      const two = (order: number) => ({ ...model('m').deployments[0], name: `d${order}`, order })
      const models = [{ name: 'm', deployments: [two(0), two(1)] }]
      const opened = await open()
      opened.engine.configure(models)
      const job = await submit(opened.engine)
      const lease = await new TestWorker(opened.engine).one(job)
      expect(lease.claim.deployment).toBe('d0')
      const timing = { queuedMs: 1, ttftMs: 1_234, totalMs: 2_000, attempts: 1 }
      await opened.engine.work.finish(lease, { ...failed('provider_timeout', 'elsewhere'), timing } as Outcome)
      const { engine, clock } = await opened.reopen('kill')
      engine.configure(models)
      clock.leap(10_000)
      const again = await new TestWorker(engine).one(job)
      expect(again).toMatchObject({ attempt: 2, ttftMs: 1_234, claim: { deployment: 'd1' } })
    },
  },
  {
    name: 'how long a job was in line, and when its first text came, outlive a kill in the middle of its attempt',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const job = await submit(opened.engine)
      opened.clock.leap(5_000)
      const lease = await new TestWorker(opened.engine).one(job)
      const writer = opened.engine.log.open(lease)
      writer.append(['{"a":1}'], 1, true)
      writer.noteFirstText(5_100)
      await writer.flushed()
      opened.clock.leap(20_000)
      const reopened = await opened.reopen('kill')
      // It is in line again: what passes before that is its attempt's
      await eventually(async () => expect((await reopened.engine.jobs.get(job.id))?.state).toBe('queued'))
      reopened.clock.leap(3_000)
      const again = await new TestWorker(reopened.engine).one(job)
      expect(again).toMatchObject({ attempt: 2, ttftMs: 5_100, log: { head: 1 } })
      expect(again.sinceAcceptedMs).toBeGreaterThanOrEqual(28_000)
      expect(again.queuedMs).toBeGreaterThanOrEqual(7_990)
      expect(again.queuedMs).toBeLessThan(20_000)
      // Again, without a first text this time: what is known is kept
      const { engine: third } = await reopened.reopen('kill')
      const last = await new TestWorker(third).one(job)
      expect(last).toMatchObject({ attempt: 3, ttftMs: 5_100 })
      expect(last.queuedMs).toBeLessThan(20_000)
    },
  },
  {
    name: 'a busy deployment costs no attempt: the job waits in line, and not beyond its deadline',
    async run(open) {
      const { engine, clock } = await open({ maxAttempts: 1 })
      const worker = new TestWorker(engine)
      const job = await submit(engine, { options: { deadlineMs: 20_000 } })
      const error = new SluiceError('provider_rate_limited', { retryAfterMs: 8_000 })
      for (let attempt = 1; attempt <= 2; attempt++) {
        const lease = await worker.one(job)
        expect(lease.attempt).toBe(attempt)
        expect((await engine.work.finish(lease, { kind: 'failed', error, retry: true })).kind).toBe('again')
        expect(await worker.lease()).toEqual([])
        clock.leap(8_001)
      }
      // The next wait would end after the deadline: it is told now, with the time
      const lease = await worker.one(job)
      expect(await engine.work.finish(lease, { kind: 'failed', error, retry: true })).toMatchObject({ state: 'failed' })
      expect((await engine.jobs.get(job.id))?.error?.code).toBe('provider_rate_limited')
    },
  },
  {
    name: 'a job that was handed back expires at its deadline, as any other in line; text or not',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine, { options: { deadlineMs: 100_000 } })
      const lease = await worker.one(job)
      engine.log.open(lease).append(['{"a":1}'], 1, false)
      await engine.work.finish(lease, { kind: 'released' })
      clock.leap(90_000)
      expect((await engine.jobs.get(job.id))?.state).toBe('queued')
      clock.leap(10_500)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('expired'))
    },
  },
  {
    name: 'one kind without a deployment waits, and does not hold back the other',
    async run(open) {
      const { engine } = await open()
      engine.configure([{ name: 'm', deployments: [{ ...model('m').deployments[0], kinds: ['embedding'] }] }])
      const worker = new TestWorker(engine)
      const chat = await submit(engine)
      const embedding = await submit(engine, { kind: 'embedding' })
      expect((await worker.lease()).map((l) => l.job.id)).toEqual([embedding.id])
      engine.configure(ANY_MODEL)
      await worker.one(chat)
    },
  },
  {
    name: 'a worker gets no more than it has slots for, and the next when one is free; one that drains gets nothing',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const jobs = [await submit(engine), await submit(engine), await submit(engine), await submit(engine)]
      worker.accept(2)
      await eventually(() => expect(worker.taken.length).toBe(2))
      await engine.work.finish(worker.taken[0], DONE)
      await eventually(() => expect(worker.taken.length).toBe(3))
      worker.accept(0)
      await engine.work.finish(worker.taken[1], DONE)
      await engine.work.finish(worker.taken[2], DONE)
      expect((await engine.jobs.get(jobs[3].id))?.state).toBe('queued')
      expect(worker.taken.length).toBe(3)
    },
  },
  {
    name: 'hundreds are leased in their order, few at a time, and none is forgotten',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const jobs = await engine.submissions.submit(Array.from({ length: 200 }, () => draft()))
      const batches: number[] = []
      const { leased } = worker
      worker.leased = (leases) => {
        batches.push(leases.length)
        leased.call(worker, leases)
      }
      worker.accept(200)
      await eventually(() => expect(worker.taken.length).toBe(200))
      expect(worker.taken.map((l) => l.job.id)).toEqual(jobs.map((submitted) => accepted(submitted).id))
      expect(Math.max(...batches)).toBeLessThanOrEqual(64)
    },
  },
  {
    name: 'places of many are asked for at once; a watched one is told when it changes',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const jobs = [await submit(engine), await submit(engine), await submit(engine)]
      const ids = jobs.map(({ id }) => id)
      const positions = async () => {
        const places = await engine.jobs.places([...ids, 'job_unknown'])
        return ids.map((id) => places.get(id)?.position)
      }
      expect(await positions()).toEqual([1, 2, 3])
      const told: Place[] = []
      const stop = engine.jobs.watchPlace(ids[2], (place) => told.push(place))
      const first = await worker.one(jobs[0])
      expect(await positions()).toEqual([undefined, 1, 2])
      clock.leap(1_500)
      await eventually(() => expect(told.at(-1)?.position).toBe(2))
      await engine.jobs.cancel(ids[1])
      clock.leap(1_500)
      await eventually(() => expect(told.at(-1)?.position).toBe(1))
      stop()
      const { length } = told
      await engine.work.finish(first, { kind: 'released' })
      clock.leap(3_000)
      expect(told.length).toBe(length)
    },
  },

  // ---------------------------------------------------------------- presence
  {
    name: 'S2: a job that its last reader left is canceled after the grace, unless one comes back or has it all',
    async run(open) {
      const { engine, clock } = await open()
      const cancels = { options: { onDisconnect: 'cancel' } } as const
      const [left, back, complete, plain] = [
        await submit(engine, cancels),
        await submit(engine, cancels),
        await submit(engine, cancels),
        await submit(engine),
      ]
      const leaves = [left, back, complete, plain].map((job) => engine.presence.enter(job))
      expect(engine.presence.readers(left.id)).toBe(1)
      for (const [i, leave] of leaves.entries()) leave(i === 2)
      clock.leap(GRACE_MS - 5_000)
      engine.presence.enter(back)
      clock.leap(6_000)
      const states = async () =>
        Promise.all([left, back, complete, plain].map(async ({ id }) => (await engine.jobs.get(id))?.state))
      await eventually(async () => expect(await states()).toEqual(['canceled', 'queued', 'queued', 'queued']))
    },
  },
  {
    name: 'S2: after a restart readers have the grace to come back',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const cancels = { options: { onDisconnect: 'cancel' } } as const
      const [back, gone] = [await submit(opened.engine, cancels), await submit(opened.engine, cancels)]
      const { engine, clock } = await opened.reopen('kill')
      engine.presence.enter(back)
      await pass({ engine, clock }, GRACE_MS - 5_000)
      expect((await engine.jobs.get(gone.id))?.state).toBe('queued')
      await pass({ engine, clock }, 6_000)
      await eventually(async () => expect((await engine.jobs.get(gone.id))?.state).toBe('canceled'))
      expect((await engine.jobs.get(back.id))?.state).toBe('queued')
    },
  },
  {
    name: 'S2: readers that leave because their gateway stops cancel nothing',
    async run(open) {
      const { engine, clock } = await open()
      const job = await submit(engine, { options: { onDisconnect: 'cancel' } })
      const leave = engine.presence.enter(job)
      engine.presence.close()
      leave(false)
      clock.leap(2 * GRACE_MS)
      expect((await engine.jobs.get(job.id))?.state).toBe('queued')
    },
  },

  // ---------------------------------------------------------------- tickets
  {
    name: 'a ticket is good once, in time, and stands for its session',
    async run(open) {
      const { engine, clock } = await open()
      const session = { id: 's', keyId: 'k', user: 'ann', origin: null, endsAtMs: 1e15 }
      await engine.tickets.issue('a', session, 30_000)
      await engine.tickets.issue('b', session, 30_000)
      expect(await engine.tickets.redeem('a')).toEqual(session)
      expect(await engine.tickets.redeem('a')).toBeNull()
      expect(await engine.tickets.redeem('unknown')).toBeNull()
      clock.leap(30_001)
      expect(await engine.tickets.redeem('b')).toBeNull()
    },
  },
  {
    name: 'of two who redeem a ticket at once, one gets in',
    async run(open) {
      const { engine } = await open()
      const session = { id: 's', keyId: 'k', user: null, origin: null, endsAtMs: 1e15 }
      await engine.tickets.issue('a', session, 30_000)
      const redeemed = await Promise.all([engine.tickets.redeem('a'), engine.tickets.redeem('a')])
      expect(redeemed.filter((each) => each !== null)).toEqual([session])
    },
  },
]
