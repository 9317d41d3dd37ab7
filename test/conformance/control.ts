/** Held by every engine: the Queue port's verbs over jobs that are there: cancel, list, pause, erase, keep. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Redriver } from '../../src/core/ports/submissions.ts'
import { parseEnd } from '../../src/core/record.ts'
import { accepted, type Case, DONE, draft, eventually, pass, readAll, runJob, submit, TestWorker } from './harness.ts'
import { numbersOf } from './words.ts'

const failed = (retry: boolean, code: SluiceError['code'] = 'provider_error') =>
  ({ kind: 'failed', error: new SluiceError(code), retry }) as const
const ends = (records: readonly string[]): number => records.filter((r) => r.startsWith('@end')).length

export const controlCases: readonly Case[] = [
  // ---------------------------------------------------------------- what waits
  {
    name: 'the backlog is what could start now, of each pool and model: not what is paused, delayed or behind another',
    async run(open) {
      const { engine } = await open()
      const backlog = async () =>
        (await engine.operations.backlog())
          .map(({ pool, model, jobs, tokens, waitMs }) => [pool, model, jobs, tokens, waitMs])
          .sort()
      expect(await backlog()).toEqual([])
      for (let n = 0; n < 3; n++) await submit(engine, { options: { lane: 'l' } })
      const [free] = [await submit(engine), await submit(engine, { options: { delayMs: 60_000 } })]
      await submit(engine, { options: { pool: 'images' } })
      expect(await backlog()).toEqual([
        ['images', 'm', 1, 10, null],
        ['text', 'm', 2, 20, null],
      ])
      await engine.operations.pause({ lane: 'l', tenant: 'acme' })
      expect(await backlog()).toContainEqual(['text', 'm', 1, 10, null])
      await engine.jobs.cancel(free.id)
      expect(await backlog()).toEqual([['images', 'm', 1, 10, null]])
    },
  },
  {
    name: 'the line is what waits, in the order in which it starts, and what runs, with the tokens that it has made',
    async run(open) {
      const opened = await open()
      const { engine } = opened
      const worker = new TestWorker(engine)
      const most = { rows: 8, waits: 40, runs: 60 }
      const line = () => engine.operations.line('tenant', most)
      expect(await line()).toMatchObject({ rows: 'tenant', top: [], waiting: { jobs: 0, tokens: 0 }, running: 0 })
      const jobs: string[] = []
      for (let n = 0; n < 3; n++) jobs.push((await submit(engine, { maxOutputTokens: 20 })).id)
      const other = (await submit(engine, { tenant: 'other', promptTokens: 70, model: 'n' })).id
      const full = await line()
      const acme = full.top.find(({ name }) => name === 'acme')!
      expect(acme.waits).toEqual(jobs.map((job) => ({ job, promptTokens: 10, madeTokens: 0, boundTokens: 30 })))
      expect(acme).toMatchObject({ weight: 1, waiting: { jobs: 3, tokens: 90 }, runs: [], running: 0 })
      expect(full).toMatchObject({ next: 'acme', running: 0, waiting: { jobs: 4 }, others: { rows: 0 } })
      expect(full.top.find(({ name }) => name === 'other')!.waits).toMatchObject([{ job: other, promptTokens: 70 }])
      const few = await engine.operations.line('model', { rows: 1, waits: 2, runs: 1 })
      expect(few.top.map(({ waits }) => waits.length)).toEqual([few.top[0].name === 'm' ? 2 : 1])
      expect(few).toMatchObject({ rows: 'model', others: { rows: 1 } })
      const [lease] = await worker.lease(1)
      expect(lease.job.id).toBe(jobs[0])
      engine.log.open(lease).append(['{"a":1}'], 5, false)
      await eventually(async () => {
        await pass(opened, 1_000)
        const { top, running } = await line()
        const row = top.find(({ name }) => name === 'acme')!
        const runs = [{ job: jobs[0], promptTokens: 10, madeTokens: 5, boundTokens: 30 }]
        expect([row.runs, row.running, running]).toEqual([runs, 1, 1])
        expect(row.waits.map(({ job }) => job)).toEqual(jobs.slice(1))
        expect(row.share).toBe(1)
        expect(row.due).toBeLessThan(1)
      })
      const there = await engine.operations.line('deployment', most)
      expect(there.top.map(({ name, running }) => [name, running])).toContainEqual(['d of *', 1])
      expect(await engine.work.finish(lease, DONE)).toMatchObject({ kind: 'ended' })
      await engine.operations.purge({ tenant: 'acme' })
      await engine.operations.purge({ tenant: 'other' })
      await eventually(async () => expect(await line()).toMatchObject({ running: 0, waiting: { jobs: 0, tokens: 0 } }))
    },
  },
  // ---------------------------------------------------------------- cancel, expiry, redrive
  {
    name: 'cancel of a job in line ends it at once; again it has ended',
    async run(open) {
      const { engine, facts } = await open()
      const worker = new TestWorker(engine)
      const lane = { options: { lane: 'l' } }
      const [a, b] = [await submit(engine, lane), await submit(engine, lane)]
      const delayed = await submit(engine, { options: { delayMs: 60_000 } })
      expect((await engine.jobs.get(delayed.id))?.state).toBe('delayed')
      for (const job of [a, delayed]) {
        expect(await engine.jobs.cancel(job.id)).toEqual({ kind: 'canceled' })
        expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'canceled', error: { code: 'job_canceled' } })
        const { records, ended } = await readAll(engine, job.id)
        expect([ended, records.length]).toEqual([true, 1])
        expect(parseEnd(records[0])).toMatchObject({ state: 'canceled' })
        expect(await engine.jobs.cancel(job.id)).toEqual({ kind: 'ended' })
        expect(facts).toContainEqual(
          expect.objectContaining({ type: 'job-ended', job: job.id, state: 'canceled', code: 'job_canceled' }),
        )
      }
      expect((await worker.lease()).map((l) => l.job.id)).toEqual([b.id])
    },
  },
  {
    name:
      'cancel of a running job revokes it; it ends when its worker answers, as canceled even if it failed; done ' +
      'stays done',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      for (const [outcome, state] of [
        [{ kind: 'canceled' }, 'canceled'],
        [failed(true), 'canceled'],
        [DONE, 'done'],
      ] as const) {
        const job = await submit(engine)
        const lease = await worker.one(job)
        engine.log.open(lease).append(['{"a":1}'], 1, false)
        expect(await engine.jobs.cancel(job.id)).toEqual({ kind: 'canceling' })
        expect(await engine.jobs.cancel(job.id)).toEqual({ kind: 'canceling' })
        expect(worker.revocations.filter((r) => r.job === job.id)).toEqual([
          { job: job.id, attempt: 1, reason: 'canceled' },
        ])
        expect(await engine.work.finish(lease, outcome)).toEqual({ kind: 'ended', state })
        const { records } = await readAll(engine, job.id)
        expect(records[0]).toBe('{"a":1}')
        expect(ends(records)).toBe(1)
      }
    },
  },
  {
    name: 'cancel of a running job whose worker is silent: ends when the lease runs out',
    async run(open) {
      const opened = await open({ leaseMs: 10_000 })
      const { engine } = opened
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      const lease = await worker.one(job)
      await engine.jobs.cancel(job.id)
      await pass(opened, 10_100)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('canceled'))
      expect((await engine.work.finish(lease, DONE)).kind).toBe('fenced')
      expect(ends((await readAll(engine, job.id)).records)).toBe(1)
    },
  },
  {
    name: 'cancel beside a lease ends the job in line, or reaches the worker behind its lease',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      worker.accept(1)
      const { kind } = await engine.jobs.cancel(job.id)
      if (kind === 'canceling') {
        await eventually(() => expect(worker.heard).toEqual([`leased ${job.id}`, `canceled ${job.id}`]))
        expect(worker.revocations).toEqual([{ job: job.id, attempt: 1, reason: 'canceled' }])
        const finished = await engine.work.finish(worker.taken[0], { kind: 'canceled' })
        expect(finished).toEqual({ kind: 'ended', state: 'canceled' })
      } else expect([kind, worker.heard]).toEqual(['canceled', []])
      expect((await engine.jobs.get(job.id))?.state).toBe('canceled')
    },
  },
  {
    name: 'a job that was not leased before its deadline expires',
    async run(open) {
      const { engine, clock } = await open()
      const job = await submit(engine, { options: { deadlineMs: 1_000 } })
      clock.leap(1_100)
      await eventually(async () =>
        expect(await engine.jobs.get(job.id)).toMatchObject({
          state: 'expired',
          error: { code: 'deadline_exceeded' },
        }),
      )
      expect(parseEnd((await readAll(engine, job.id)).records[0])).toMatchObject({ state: 'expired' })
      expect(await new TestWorker(engine).lease()).toEqual([])
    },
  },
  {
    name: 'not-before: not leased earlier',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine, { options: { delayMs: 60_000 } })
      expect(await worker.lease()).toEqual([])
      worker.accept(1)
      clock.leap(50_000)
      expect(worker.taken).toEqual([])
      clock.leap(10_100)
      await eventually(() => expect(worker.taken.map((l) => l.job.id)).toEqual([job.id]))
    },
  },
  {
    name: 'redrive: what failed or expired is submitted anew, and nothing else',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const body = `{"redrive":"${'y'.repeat(100_000)}"}`
      const bad = await runJob(
        engine,
        worker,
        { body, metadata: { a: 'b' }, options: { idempotencyKey: 'k', lane: 'l' }, price: { input: 1, output: 1 } },
        [],
        failed(false),
      )
      const good = await runJob(engine, worker)
      expect(await engine.submissions.redrive(good.id, null)).toBeNull()
      const price = { input: 1.5, output: 2 }
      const instead = [{ model: 'b', price }, { model: 'c' }]
      const job = accepted((await engine.submissions.redrive(bad.id, null, { price, instead }))!)
      expect(await engine.jobs.get(job.id)).toMatchObject({ price, instead })
      expect(job).toMatchObject({ redriveOf: bad.id, metadata: { a: 'b' }, options: { lane: 'l' } })
      expect(job.id).not.toBe(bad.id)
      const lease = await worker.one(job)
      expect(Buffer.from(lease.body).toString()).toBe(body)
      expect(await engine.submissions.redrive(job.id, null)).toBeNull()
    },
  },
  {
    name: 'redrive: it counts for whom asks, or as the first one did',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      await engine.keys.add({ id: 'asks', tenant: 'acme', name: '', hint: '', createdAtMs: 1 }, 'd')
      const first = { user: 'ann', session: 'user\nann' }
      const bad = await runJob(engine, worker, first, [], failed(false))
      const { keyId } = bad
      const redriven = async (by: Redriver | null) => {
        const job = accepted((await engine.submissions.redrive(bad.id, by))!)
        return [(await engine.jobs.get(job.id))!, job].map((each) => [each.keyId, each.user, each.session])
      }
      expect(await redriven(null)).toEqual(Array(2).fill([keyId, 'ann', first.session]))
      expect(await redriven({ keyId: 'asks' })).toEqual(Array(2).fill(['asks', 'ann', undefined]))
      expect(await redriven({ keyId: 'asks', session: 'session\ns' })).toEqual(
        Array(2).fill(['asks', 'ann', 'session\ns']),
      )
    },
  },

  // ---------------------------------------------------------------- look, pause, purge, erase
  {
    name: 'request: byte for byte as submitted, while it waits and after its end; null when there is none',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const body = `{"messages":[{"role":"user","content":"\u00fc ${'y'.repeat(100_000)}"}] }`
      const done = await runJob(engine, worker, { body })
      const waits = await submit(engine, { body: `${body} ` })
      expect(Buffer.from((await engine.jobs.request(done.id))!).toString()).toBe(body)
      expect(Buffer.from((await engine.jobs.request(waits.id))!).toString()).toBe(`${body} `)
      expect(await engine.jobs.request('job_unknown')).toBeNull()
    },
  },
  {
    name: 'list: newest first, by every filter, page by page',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const bad = await runJob(engine, worker, { model: 'b' }, [], failed(false))
      const done = await runJob(engine, worker, { options: { lane: 'l' }, user: 'ann', run: 'b' })
      const queued: string[] = []
      for (let i = 0; i < 25; i++)
        queued.unshift((await submit(engine, { tenant: i % 2 ? 'acme' : 'other', options: { conversation: 'c' } })).id)
      const ids = async (filter: object) => (await engine.jobs.list({ limit: 1000, ...filter })).map((j) => j.id)
      expect(await ids({})).toEqual([...queued, done.id, bad.id])
      expect((await ids({ tenant: 'other' })).length).toBe(13)
      expect(await ids({ states: ['done'] })).toEqual([done.id])
      expect(await ids({ states: ['failed', 'expired'] })).toEqual([bad.id])
      expect(await ids({ states: ['failed'], tenant: 'other' })).toEqual([])
      expect(await ids({ states: ['failed', 'done'] })).toEqual([done.id, bad.id])
      expect(await ids({ states: ['queued'] })).toEqual(queued)
      expect((await ids({ states: ['queued', 'done'], limit: 26 })).length).toBe(26)
      expect(await ids({ lane: 'l' })).toEqual([done.id])
      expect((await ids({ conversation: 'c', tenant: 'acme' })).length).toBe(12)
      expect(await ids({ model: 'b' })).toEqual([bad.id])
      expect(await ids({ user: 'ann' })).toEqual([done.id])
      expect(await ids({ user: 'ann', states: ['queued'] })).toEqual([])
      const inRun = (await submit(engine, { run: 'a"\u00fc/1', tenant: 'acme' })).id
      expect(await ids({ run: 'a"\u00fc/1' })).toEqual([inRun])
      expect(await ids({ run: 'b', tenant: 'acme' })).toEqual([done.id])
      expect(await ids({ run: 'a"\u00fc/1', states: ['queued'] })).toEqual([inRun])
      expect(await ids({ run: 'c' })).toEqual([])
      queued.unshift(inRun)
      const pages: string[] = []
      for (let before: string | undefined; ; before = pages.at(-1)) {
        const page = await ids({ limit: 4, ...(before === undefined ? {} : { before }) })
        if (page.length === 0) break
        pages.push(...page)
      }
      expect(pages).toEqual(await ids({}))
    },
  },
  {
    name: 'jobs of a run are its tenant’s alone, newest first in pages, whatever their state, and erased ones are gone',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const run = 'r:1/ü'
      const ids: string[] = []
      for (let i = 0; i < 5; i++) {
        ids.unshift((await runJob(engine, worker, { run }, [], i === 1 ? failed(false) : DONE)).id)
        await runJob(engine, worker, { run: 'r' })
        await runJob(engine, worker, { run, tenant: 'other' })
      }
      ids.unshift((await submit(engine, { run })).id)
      const list = async (more: object = {}): Promise<string[]> =>
        (await engine.jobs.list({ tenant: 'acme', run, limit: 10, ...more })).map(({ id }) => id)
      expect(await list()).toEqual(ids)
      expect(await list({ limit: 2 })).toEqual(ids.slice(0, 2))
      expect(await list({ limit: 2, before: ids[1] })).toEqual(ids.slice(2, 4))
      expect(await list({ states: ['failed'] })).toEqual([ids[4]])
      expect(await list({ states: ['queued'] })).toEqual([ids[0]])
      expect(await list({ states: ['queued', 'done'], model: 'none' })).toEqual([])
      expect(await list({ tenant: 'third' })).toEqual([])
      await engine.jobs.erase(ids[2])
      expect(await list()).toEqual(ids.filter((_, i) => i !== 2))
    },
  },
  {
    name: 'pause: what matches is not leased until resumed; paused tells',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      await engine.operations.pause({ model: 'slow' })
      await engine.operations.pause({ tenant: 'acme', lane: 'chat' })
      expect(await engine.operations.paused()).toEqual(
        expect.arrayContaining([{ model: 'slow' }, { tenant: 'acme', lane: 'chat' }]),
      )
      const slow = await submit(engine, { model: 'slow' })
      const lane = await submit(engine, { options: { lane: 'chat' } })
      const conversation = await submit(engine, { options: { conversation: 'chat' } })
      const free = await submit(engine, { tenant: 'other', options: { lane: 'chat' } })
      expect((await worker.lease()).map((l) => l.job.id)).toEqual([free.id])
      await engine.operations.resume({ model: 'slow' })
      await worker.one(slow)
      worker.accept(9)
      await engine.operations.resume({ tenant: 'acme', lane: 'chat' })
      await eventually(() =>
        expect(
          worker.taken
            .slice(-2)
            .map((l) => l.job.id)
            .sort(),
        ).toEqual([lane.id, conversation.id].sort()),
      )
      expect(await engine.operations.paused()).toEqual([])
    },
  },
  {
    name: 'purge cancels what matches and is not running',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const running = await submit(engine, { model: 'x' })
      await worker.one(running)
      const [a, b, other] = [
        await submit(engine, { model: 'x' }),
        await submit(engine, { model: 'x', options: { delayMs: 9_000 } }),
        await submit(engine),
      ]
      expect(await engine.operations.purge({ model: 'x' })).toBe(2)
      for (const job of [a, b]) expect((await engine.jobs.get(job.id))?.state).toBe('canceled')
      expect((await engine.jobs.get(running.id))?.state).toBe('leased')
      expect((await engine.jobs.get(other.id))?.state).toBe('queued')
      expect(await engine.operations.purge({ model: 'x' })).toBe(0)
    },
  },
  {
    name: 'erase takes a job out whatever its state; its idempotency key is free again',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const done = await runJob(engine, worker, { options: { idempotencyKey: 'k' } })
      const running = await submit(engine)
      const lease = await worker.one(running)
      engine.log.open(lease).append(['{"secret":1}'], 1, false)
      const queued = await submit(engine, { options: { idempotencyKey: 'q' } })
      const erasing = engine.jobs.erase(running.id)
      await eventually(() => expect(worker.revocations.length).toBe(1))
      await engine.work.finish(lease, { kind: 'canceled' })
      expect(await erasing).toBe(true)
      for (const job of [done, queued]) expect(await engine.jobs.erase(job.id)).toBe(true)
      for (const idempotencyKey of ['k', 'q']) await submit(engine, { options: { idempotencyKey } })
      for (const job of [done, running, queued]) {
        expect(await engine.jobs.get(job.id)).toBeNull()
        expect(await engine.log.read(job.id, 0, 1000)).toBeNull()
        expect(await engine.jobs.erase(job.id)).toBe(false)
      }
    },
  },

  // ---------------------------------------------------------------- retention, tenants
  {
    name: 'retention: what ended longer ago is gone, job and log; what has not ended stays',
    async run(open) {
      const { engine, clock } = await open({
        retentionMs: 60_000,
        retentionOf: (tenant) => (tenant === 'long' ? 600_000 : null),
      })
      const worker = new TestWorker(engine)
      const old = await runJob(engine, worker)
      const long = await runJob(engine, worker, { tenant: 'long' })
      const queued = await submit(engine)
      clock.leap(40_000)
      await new Promise((done) => setTimeout(done, 200))
      expect(await engine.jobs.get(old.id)).not.toBeNull()
      clock.leap(40_000)
      await eventually(async () => expect(await engine.jobs.get(old.id)).toBeNull())
      expect(await engine.log.read(old.id, 0, 1000)).toBeNull()
      expect(await engine.jobs.get(long.id)).toMatchObject({ state: 'done' })
      expect(await engine.jobs.get(queued.id)).toMatchObject({ state: 'queued' })
    },
  },
  {
    name: 'retention: what a job that waits comes after is kept until that has ended',
    async run(open) {
      const { engine, clock } = await open({
        retentionMs: 60_000,
        retentionOf: (tenant) => (tenant === 'secret' ? 0 : null),
      })
      const worker = new TestWorker(engine)
      const slow = await submit(engine, { options: { delayMs: 3_000_000, deadlineMs: 9_000_000 } })
      const kept = await runJob(engine, worker)
      const secret = await runJob(engine, worker, { tenant: 'secret' })
      const join = await submit(engine, { after: [kept.id, secret.id, slow.id] })
      const other = await runJob(engine, worker)
      await eventually(async () => {
        clock.leap(20_000)
        expect(await engine.jobs.get(other.id)).toBeNull()
      })
      for (let i = 0; i < 5; i++) {
        clock.leap(20_000)
        await new Promise((done) => setTimeout(done, 50))
      }
      for (const { id } of [kept, secret]) expect(await engine.jobs.get(id)).toMatchObject({ state: 'done' })
      expect((await engine.jobs.cancel(join.id)).kind).toBe('canceled')
      await eventually(async () => {
        clock.leap(20_000)
        for (const { id } of [kept, secret]) expect(await engine.jobs.get(id)).toBeNull()
      })
    },
  },
  {
    name: 'retention 0: kept until the last follower has gone, then removed',
    async run(open) {
      const { engine, clock } = await open({ retentionOf: (tenant) => (tenant === 'secret' ? 0 : null) })
      const worker = new TestWorker(engine)
      const kept = await runJob(engine, worker)
      const job = await submit(engine, { tenant: 'secret' })
      const lease = await worker.one(job)
      const following = engine.log.follow(job.id, () => {})
      engine.log.open(lease).append(['{"a":1}'], 1, false)
      await engine.work.finish(lease, DONE)
      expect((await readAll(engine, job.id)).records.length).toBe(2)
      for (let i = 0; i < 3; i++) {
        clock.leap(1_000)
        await new Promise((done) => setTimeout(done, 20))
      }
      expect((await readAll(engine, job.id)).records.length).toBe(2)
      following.stop()
      await eventually(async () => {
        clock.leap(500)
        expect(await engine.log.read(job.id, 0, 1000)).toBeNull()
      })
      expect(await engine.jobs.get(job.id)).toBeNull()
      expect((await engine.jobs.get(kept.id))?.state).toBe('done')
    },
  },
  {
    name: 'erasing a tenant takes all of it, and nothing of others',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const chat = { options: { conversation: 'c' } }
      const stays = await runJob(engine, worker, { ...chat, tenant: 'stays' })
      const done = await runJob(engine, worker, { ...chat, tenant: 'gone' })
      const running = await submit(engine, { tenant: 'gone' })
      const lease = await worker.one(running)
      const queued = await submit(engine, { tenant: 'gone', options: { lane: 'l' } })
      await engine.keys.add({ id: 'key_g', tenant: 'gone', name: 'n', hint: 'sk', createdAtMs: 1 }, 'digest-g')
      await engine.keys.add({ id: 'key_s', tenant: 'stays', name: 'n', hint: 'sk', createdAtMs: 1 }, 'digest-s')
      const erasing = engine.eraseTenant('gone')
      const again = engine.eraseTenant('gone')
      await eventually(() => expect(worker.revocations.length).toBe(1))
      const late = async (): Promise<unknown> => (await engine.submissions.submit([draft({ tenant: 'gone' })]))[0]
      expect(await late()).toMatchObject({ kind: 'refused', error: { code: 'overloaded', retryable: true } })
      await engine.work.finish(lease, { kind: 'canceled' })
      await Promise.all([erasing, again])
      for (const job of [done, running, queued]) {
        expect(await engine.jobs.get(job.id)).toBeNull()
        expect(await engine.log.read(job.id, 0, 1000)).toBeNull()
      }
      expect(await engine.jobs.list({ tenant: 'gone', limit: 10 })).toEqual([])
      expect((await engine.conversations.list('gone', { limit: 10 })).conversations).toEqual([])
      expect(engine.keys.find('digest-g')).toBeNull()
      expect(await engine.jobs.get(stays.id)).toMatchObject({ state: 'done' })
      expect(engine.keys.find('digest-s')).not.toBeNull()
      expect((await engine.conversations.list('stays', { limit: 10 })).conversations.length).toBe(1)
    },
  },
  {
    name: 'closing is safe to repeat; health is good until something is wrong; its numbers are whole',
    async run(open) {
      const { engine } = await open()
      await submit(engine)
      expect(engine.health()).toEqual({ ok: true })
      const names = engine.metrics.map(({ name }) => name)
      expect(names.length).toBeGreaterThan(0)
      expect(new Set(names).size).toBe(names.length)
      for (const { help } of engine.metrics) expect(help).toMatch(/^[A-Z].*[^.]$/)
      for (const value of Object.values(numbersOf(engine))) expect(Number.isFinite(value)).toBe(true)
      await Promise.all([engine.close(), engine.close()])
      await engine.close()
    },
  },
]
