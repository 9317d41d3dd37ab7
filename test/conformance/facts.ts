/** Held by every engine: the facts that it emits about jobs (core/facts.ts). */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Happened } from '../../src/core/facts.ts'
import { type Case, DONE, eventually, type Opened, settled, submit, TestWorker } from './harness.ts'

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const CAME_WITH = { requestId: 'req_1', trace: TRACE, admissionMs: 2.5 }
const ABOUT = { tenant: 'acme', keyId: 'key_1', model: 'm', requestId: 'req_1', trace: TRACE }

type JobFact = Extract<Happened, { type: 'job-leased' | 'job-returned' | 'job-ended' }>

const STEPS = ['job-leased', 'job-returned', 'job-ended']
/** The facts about this job, in order. */
const toldOf = ({ facts }: Opened, job: string): readonly JobFact[] =>
  facts.filter((fact): fact is JobFact => STEPS.includes(fact.type) && (fact as JobFact).job === job)

const FAILED = { kind: 'failed', error: new SluiceError('provider_error'), retry: true } as const

export const factCases: readonly Case[] = [
  {
    name: 'each step of a job is told once, in order, and tells by itself whose it is',
    async run(open) {
      const opened = await open()
      const { engine, clock } = opened
      const worker = new TestWorker(engine)
      const job = await submit(engine, CAME_WITH)
      clock.leap(5_000)
      const lease = await worker.one(job)
      // One number: what came after it was decided is no part of the line
      const inLine = (): number | undefined => {
        const [first] = toldOf(opened, job.id)
        return first?.type === 'job-leased' ? first.queuedMs : undefined
      }
      await eventually(() => expect(inLine()).toBe(lease.queuedMs))
      clock.leap(7_000)
      expect((await engine.work.finish(lease, FAILED)).kind).toBe('again')
      await eventually(() => expect(toldOf(opened, job.id).length).toBe(2))
      clock.leap(60_000)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('queued'))
      await engine.work.finish(await worker.one(job), DONE)
      await eventually(() => expect(toldOf(opened, job.id).length).toBe(4))
      const told = toldOf(opened, job.id)
      expect(told).toMatchObject([
        { type: 'job-leased', attempt: 1, deployment: 'd of *' },
        { type: 'job-returned', attempt: 1 },
        { type: 'job-leased', attempt: 2, deployment: 'd of *' },
        { type: 'job-ended', state: 'done', code: null, deployment: 'd of *', usage: DONE.usage, timing: DONE.timing },
      ])
      for (const fact of told) expect(fact).toMatchObject({ job: job.id, ...ABOUT })
      const [first, , second] = told as ReadonlyArray<unknown> as ReadonlyArray<{ readonly queuedMs: number }>
      expect(first.queuedMs).toBeGreaterThanOrEqual(5_000)
      // Both waits, without the attempt between them
      expect(second.queuedMs).toBeGreaterThanOrEqual(65_000)
      expect(second.queuedMs).toBeLessThan(70_000)
    },
  },
  {
    name: 'an end tells what all attempts cost, and where the time to the first text went',
    async run(open) {
      const opened = await open()
      const { engine, clock } = opened
      const worker = new TestWorker(engine)
      const cost = (nanoDollars: number | null) => ({
        cost: { nanoDollars, priceVersion: nanoDollars === null ? null : 'p' },
        attemptUsage: DONE.usage,
      })
      const parts = { admission: 2.5, queue: 9, retries: 3, routing: 0.5, connect: 0, upstream: 80, delivery: 0 }
      const ends: Array<Extract<Happened, { type: 'job-ended' }>> = []
      for (const prices of [[7, 5], [7, null], []] as const) {
        const job = await submit(engine, CAME_WITH)
        if (prices.length === 0) await engine.jobs.cancel(job.id)
        else {
          const lease = await worker.one(job)
          // What its submit took is stored with it
          expect(lease.job.admissionMs).toBeGreaterThanOrEqual(2.5)
          await engine.work.finish(lease, { ...FAILED, ...cost(prices[0]) })
          clock.leap(60_000)
          await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('queued'))
          const done = { ...DONE, ...cost(prices[1]), timing: { ...DONE.timing, parts } }
          await engine.work.finish(await worker.one(job), done)
        }
        await eventually(() => expect(toldOf(opened, job.id).at(-1)?.type).toBe('job-ended'))
        ends.push(toldOf(opened, job.id).at(-1) as (typeof ends)[number])
        if (prices.length > 0) expect((await engine.jobs.get(job.id))?.timing?.parts).toEqual(parts)
      }
      expect(ends.map(({ nanoDollars }) => nanoDollars)).toEqual([12, null, undefined])
      expect(ends[0].timing?.parts).toEqual(parts)
    },
  },
  {
    name: 'one that ends in line, or is fenced, has one end and no other step',
    async run(open) {
      const opened = await open()
      const { engine, clock } = opened
      const [canceled, expired, run] = [
        await submit(engine),
        await submit(engine, { options: { deadlineMs: 1_000 } }),
        await submit(engine),
      ]
      await engine.jobs.cancel(canceled.id)
      clock.leap(2_000)
      await eventually(async () => expect((await engine.jobs.get(expired.id))?.state).toBe('expired'))
      const lease = await new TestWorker(engine).one(run)
      await Promise.all([engine.work.finish(lease, DONE), engine.work.finish(lease, DONE), engine.jobs.cancel(run.id)])
      await eventually(() => expect(toldOf(opened, run.id).length).toBe(2))
      const ends = (id: string): unknown[] => toldOf(opened, id).map((fact) => 'state' in fact && fact.state)
      expect(ends(canceled.id)).toEqual(['canceled'])
      expect(ends(expired.id)).toEqual(['expired'])
      expect(ends(run.id)).toEqual([false, 'done'])
      expect(toldOf(opened, canceled.id)[0]).toMatchObject({ code: 'job_canceled', deployment: null })
      expect(toldOf(opened, expired.id)[0]).toMatchObject({ code: 'deadline_exceeded', deployment: null })
    },
  },
  {
    name: 'whose it is, and its trace, are known after a restart',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const job = await submit(opened.engine, CAME_WITH)
      await new TestWorker(opened.engine).one(job)
      const again = await opened.reopen('kill')
      const from = again.facts.length
      await again.engine.work.finish(await new TestWorker(again.engine, 'w2').one(job), DONE)
      await eventually(() => expect(toldOf(again, job.id).at(-1)?.type).toBe('job-ended'))
      for (const fact of again.facts.slice(from))
        if ('job' in fact) expect(fact).toMatchObject({ job: job.id, ...ABOUT })
    },
  },
  {
    name: 'an attempt that died with its process is told as it is booked, once',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const worker = new TestWorker(opened.engine)
      const job = await submit(opened.engine, CAME_WITH)
      const { claim, ...lease } = await worker.one(job)
      const log = opened.engine.log.open({ claim, ...lease })
      const begun = `@attempt {"n":1,"mode":"first","deployment":"${claim.deployment}"}`
      log.append([begun, '{"choices":[{"index":0,"delta":{"content":"a"}}]}'], 1, true)
      await log.flushed()
      opened = await opened.reopen('kill')
      const told = (): readonly Happened[] => opened.facts.filter(({ type }) => type === 'attempt-ended')
      await eventually(() => expect(told().length).toBe(1))
      const [{ usage, nanoDollars, priceVersion }] = (await opened.engine.ledger.records({}, null, 10)).items
      expect(usage.completionTokens).toBe(1)
      expect(told()).toMatchObject([
        {
          ...{ job: job.id, ...ABOUT, attempt: 1, deployment: claim.deployment, code: 'worker_lost', status: 502 },
          ...{ usage, cost: { nanoDollars, priceVersion } },
        },
      ])
      await opened.engine.work.finish(await new TestWorker(opened.engine, 'w2').one(job), DONE)
      opened = await opened.reopen('kill')
      await settled(opened.engine)
      expect(told().length).toBeLessThanOrEqual(1)
    },
  },
  {
    name: 'an end is not told before it is safe',
    needs: 'power',
    async run(open) {
      const opened = await open()
      const { engine } = opened
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const finished = engine.work.finish(lease, DONE).catch(() => {})
      while (toldOf(opened, job.id).at(-1)?.type !== 'job-ended') await new Promise((done) => setImmediate(done))
      const again = await opened.reopen('power')
      await finished
      expect(await again.engine.jobs.get(job.id)).toMatchObject({ state: 'done' })
    },
  },
]
