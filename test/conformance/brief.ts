/**
 * A plain POST that asks for a document promises nothing before its end. An engine may store it with that (decision
 * 0036); but what was told, what goes on for long, and what anybody looks at is there before.
 */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { DisconnectPolicy, Job } from '../../src/core/job.ts'
import type { Lease } from '../../src/core/ports/work.ts'
import { documentRecord, isEnd } from '../../src/core/record.ts'
import {
  accepted,
  type Case,
  DONE,
  draft,
  eventually,
  type Opened,
  pass,
  readAll,
  refusal,
  TestWorker,
} from './harness.ts'

const BODY = '{"model":"m","messages":[]}'
const POST = { body: BODY, document: true, options: { policy: 'reject', onDisconnect: 'cancel' } } as const
const ANSWER = documentRecord('{"choices":[]}')

/** One that a worker had room for when it came. */
interface Running {
  readonly worker: TestWorker
  readonly job: Job
  readonly lease: Lease
  readonly power: () => Promise<void>
}

async function run({ engine }: Opened, onDisconnect: DisconnectPolicy = 'cancel'): Promise<Running> {
  const worker = new TestWorker(engine)
  worker.accept(1)
  const { result, power } = await engine.submissions.begin(
    draft({ ...POST, options: { policy: 'reject', onDisconnect } }),
  )
  await eventually(() => expect(worker.taken).toHaveLength(1))
  worker.accept(0)
  return { worker, job: accepted(result), lease: worker.taken[0], power }
}

/** It goes on after the death, as its second attempt. */
async function expectGoesOn({ engine }: Opened, { job, lease }: Running): Promise<void> {
  expect(await engine.jobs.get(job.id)).toMatchObject({ id: job.id, attempts: 1 })
  const next = await new TestWorker(engine).one(job)
  expect(next.attempt).toBe(2)
  expect(Buffer.from(next.body).toString()).toBe(BODY)
  expect((await engine.work.finish(lease, DONE)).kind).toBe('fenced')
  expect(await engine.work.finish(next, DONE)).toEqual({ kind: 'ended', state: 'done' })
}

const both = (name: string, run: (opened: Opened, how: 'kill' | 'power') => Promise<void>): Case[] =>
  (['kill', 'power'] as const).map((how) => ({
    name: `${name} (${how})`,
    needs: how,
    run: async (open) => run(await open(), how),
  }))

export const briefCases: readonly Case[] = [
  ...both('a plain document that was told is there, whole: request, answer, end', async (opened, how) => {
    const { job, lease } = await run(opened)
    opened.engine.log.open(lease).append([ANSWER], 3, true)
    await opened.engine.work.finish(lease, DONE)
    const { engine } = await opened.reopen(how)
    expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'done', attempts: 1, usage: { completionTokens: 3 } })
    expect(Buffer.from((await engine.jobs.request(job.id))!).toString()).toBe(BODY)
    const { records, ended } = await readAll(engine, job.id)
    expect([records[0], records.length, isEnd(records[1]), ended]).toEqual([ANSWER, 2, true, true])
    expect(await new TestWorker(engine).lease()).toEqual([])
    // J4: an SDK that did not get the answer
    const again = await engine.submissions.begin(draft({ ...POST, isRetry: true }))
    expect(again.result).toMatchObject({ kind: 'joined', job: { id: job.id } })
  }),
  ...both('one that failed, and one that was canceled, are there too', async (opened, how) => {
    const failed = await run(opened)
    const error = new SluiceError('provider_rejected')
    await opened.engine.work.finish(failed.lease, { kind: 'failed', error, retry: false })
    const canceled = await run(opened)
    await opened.engine.jobs.cancel(canceled.job.id)
    await opened.engine.work.finish(canceled.lease, { kind: 'canceled' })
    const { engine } = await opened.reopen(how)
    expect(await engine.jobs.get(failed.job.id)).toMatchObject({ state: 'failed', error: { code: error.code } })
    expect(await engine.jobs.get(canceled.job.id)).toMatchObject({ state: 'canceled' })
  }),
  ...both('a death leaves nothing of one that runs, or a job that goes on; its SDK asks again', async (opened, how) => {
    const running = await run(opened)
    const again = await opened.reopen(how)
    const { result } = await again.engine.submissions.begin(draft({ ...POST, isRetry: true }))
    if (result.kind === 'joined') return expectGoesOn(again, running)
    const lease = await new TestWorker(again.engine).one(accepted(result))
    expect(lease).toMatchObject({ attempt: 1, crashes: 0 })
    expect(lease.job.id > running.job.id).toBe(true)
  }),
  ...both('one that is to be power-safe while it runs goes on after a death', async (opened, how) => {
    const running = await run(opened)
    await running.power()
    await expectGoesOn(await opened.reopen(how), running)
  }),
  ...both('one that a promised request joined goes on after a death', async (opened, how) => {
    const running = await run(opened)
    const [joined] = await opened.engine.submissions.submit([draft({ ...POST, isRetry: true })])
    expect(joined).toMatchObject({ kind: 'joined', job: { id: running.job.id } })
    await expectGoesOn(await opened.reopen(how), running)
  }),
  ...both('a cancel of one that runs, once acknowledged, is not undone', async (opened, how) => {
    const { job } = await run(opened)
    expect(await opened.engine.jobs.cancel(job.id)).toEqual({ kind: 'canceling' })
    const { engine } = await opened.reopen(how)
    await eventually(async () => expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'canceled' }))
    expect(await new TestWorker(engine).lease()).toEqual([])
  }),
  {
    name: 'one that runs for longer than two seconds goes on after a death',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const running = await run(opened)
      await pass(opened, 2_500)
      await expectGoesOn(await opened.reopen('kill'), running)
    },
  },
  {
    name: 'one that goes back in line is kept, with its attempts',
    needs: 'kill',
    async run(open) {
      const opened = await open({ maxAttempts: 2 })
      // Nobody reads it meanwhile
      const { job, lease } = await run(opened, 'continue')
      const error = new SluiceError('provider_error', { retryAfterMs: 60_000 })
      expect((await opened.engine.work.finish(lease, { kind: 'failed', error, retry: true })).kind).toBe('again')
      const { engine, clock } = await opened.reopen('kill')
      clock.leap(400_000)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('queued'))
      const next = await new TestWorker(engine).one(job)
      expect(next).toMatchObject({ attempt: 2, crashes: 0 })
      expect(await engine.work.finish(next, { kind: 'failed', error, retry: true })).toMatchObject({ state: 'failed' })
    },
  },
  {
    name: 'what it shows before its end is kept as of any other: an upstream may stream all the same',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const { job, lease } = await run(opened)
      const told: string[] = []
      await opened.engine.log.follow(job.id, (_firstSeq, records) => void told.push(...records)).ready
      const writer = opened.engine.log.open(lease)
      writer.append(['@attempt {"n":1}'], 0, false)
      writer.append(['{"a":1}'], 1, true)
      await eventually(() => expect(told).toEqual(['@attempt {"n":1}', '{"a":1}']))
      const { engine } = await opened.reopen('kill')
      expect((await readAll(engine, job.id)).records).toEqual(told)
      expect((await new TestWorker(engine).one(job)).log.head).toBe(2)
    },
  },
  {
    name: 'flushing is enough: more than may wait is stored though nothing is urgent',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const { job, lease } = await run(opened)
      const writer = opened.engine.log.open(lease)
      writer.append(['{"a":1}'], 1, false)
      await writer.flushed()
      const { engine } = await opened.reopen('kill')
      expect((await readAll(engine, job.id)).records).toEqual(['{"a":1}'])
    },
  },
  {
    name: 'whoever looks finds one that runs: by its id, in each list, with its request',
    async run(open) {
      const { engine, ...opened } = await open()
      const { job, lease } = await run({ engine, ...opened })
      expect(await engine.jobs.get(job.id)).toMatchObject({ id: job.id, state: 'leased', attempts: 1 })
      expect(Buffer.from((await engine.jobs.request(job.id))!).toString()).toBe(BODY)
      for (const filter of [{}, { tenant: job.tenant }, { states: ['leased'] as const }, { model: job.model }])
        expect((await engine.jobs.list({ ...filter, limit: 10 })).map(({ id }) => id)).toEqual([job.id])
      expect(Buffer.from((await engine.jobs.request(job.id))!).toString()).toBe(BODY)
      expect(await engine.log.head(job.id)).toMatchObject({ head: 0, ended: false })
      await engine.work.finish(lease, DONE)
      expect((await engine.jobs.list({ limit: 10 })).map(({ id, state }) => [id, state])).toEqual([[job.id, 'done']])
    },
  },
  {
    name: 'one that is erased while it runs is gone',
    async run(open) {
      const opened = await open()
      const { engine } = opened
      const { job, lease, worker } = await run(opened)
      const erased = engine.jobs.erase(job.id)
      await eventually(() => expect(worker.heard).toContain(`canceled ${job.id}`))
      await engine.work.finish(lease, { kind: 'canceled' })
      expect(await erased).toBe(true)
      expect(await engine.jobs.get(job.id)).toBeNull()
      expect(await engine.jobs.list({ limit: 10 })).toEqual([])
    },
  },
  {
    name: 'one that finds no room is kept like any other',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const { result } = await opened.engine.submissions.begin(draft(POST))
      const { engine } = await opened.reopen('kill')
      expect(await new TestWorker(engine).one(accepted(result))).toMatchObject({ attempt: 1, crashes: 0 })
    },
  },
  {
    name: 'one that waited for room, and one that comes back, end as any other',
    async run(open) {
      const { engine, clock } = await open({ maxAttempts: 3 })
      const waiting = accepted((await engine.submissions.begin(draft(POST))).result)
      const worker = new TestWorker(engine)
      const lease = await worker.one(waiting)
      engine.log.open(lease).append([ANSWER], 1, true)
      expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
      expect((await readAll(engine, waiting.id)).records[0]).toBe(ANSWER)

      worker.accept(1)
      const { result } = await engine.submissions.begin(draft({ ...POST, body: '{"other":1}' }))
      const { id } = accepted(result)
      // Handed back, it is leased again before its row can be there
      for (let attempt = 1; attempt <= 3; attempt++) {
        await eventually(() => expect(worker.taken.at(-1)).toMatchObject({ attempt, job: { id } }))
        worker.accept(1)
        if (attempt < 3) await engine.work.finish(worker.taken.at(-1)!, { kind: 'released' })
      }
      expect(await engine.work.finish(worker.taken.at(-1)!, DONE)).toEqual({ kind: 'ended', state: 'done' })
      clock.leap(1_000)
      expect(await engine.jobs.get(id)).toMatchObject({ state: 'done', attempts: 3 })
    },
  },
  {
    name: 'one with an idempotency key, a lane or a conversation is kept from the start',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const worker = new TestWorker(opened.engine)
      worker.accept(9)
      const options = [{ idempotencyKey: 'k' }, { lane: 'l' }, { conversation: 'c' }]
      const jobs: Job[] = []
      for (const option of options)
        jobs.push(accepted((await opened.engine.submissions.begin(draft({ ...POST, options: option }))).result))
      await eventually(() => expect(worker.taken).toHaveLength(jobs.length))
      const { engine } = await opened.reopen('kill')
      for (const job of jobs) expect(await engine.jobs.get(job.id)).toMatchObject({ attempts: 1 })
      const other = { ...POST, body: '{"other":1}', options: options[0] }
      expect(refusal((await engine.submissions.begin(draft(other))).result).code).toBe('idempotency_conflict')
    },
  },
]
