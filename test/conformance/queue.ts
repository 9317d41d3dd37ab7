/**
 * Held by every engine: the Queue port from submit to end. Control is in control.ts, what survives a death in
 * durability.ts.
 */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import { parseEnd } from '../../src/core/record.ts'
import {
  accepted,
  type Case,
  DONE,
  draft,
  eventually,
  pass,
  readAll,
  refusal,
  runJob,
  submit,
  TestWorker,
} from './harness.ts'
import { ANY_MODEL, model } from './settings.ts'

const failed = (retry: boolean, code: SluiceError['code'] = 'provider_error') =>
  ({ kind: 'failed', error: new SluiceError(code), retry }) as const
const ends = (records: readonly string[]): number => records.filter((r) => r.startsWith('@end')).length

export const queueCases: readonly Case[] = [
  // ---------------------------------------------------------------- ids that are told before
  {
    name: 'a job may be submitted under an id that was reserved; twice is once, also after its end',
    async run(open) {
      const { engine } = await open()
      const { submissions, jobs } = engine
      const ids = await submissions.reserve(3)
      expect(new Set(ids).size).toBe(3)
      const next = await submit(engine)
      expect(ids).not.toContain(next.id)
      const drafts = ids.map((_, i) =>
        draft({ options: { lane: 'reserved', ...(i === 2 && { idempotencyKey: 'k' }) } }),
      )
      const first = await submissions.submit(drafts, ids)
      expect(first.map((each) => (each.kind === 'accepted' ? each.job.id : each.kind))).toEqual(ids)
      expect(await submissions.submit(drafts, ids)).toMatchObject(ids.map((id) => ({ kind: 'accepted', job: { id } })))
      expect(await jobs.byKey('acme', 'k')).toBe(ids[2])
      expect(await jobs.byKey('acme', 'other')).toBeNull()
      const worker = new TestWorker(engine)
      for (const id of [next.id, ...ids]) {
        const lease = await worker.one((await jobs.get(id))!)
        engine.log.open(lease).append(['{"a":1}'], 1, false)
        await engine.work.finish(lease, DONE)
      }
      expect(await submissions.submit(drafts, ids)).toMatchObject(
        ids.map((id) => ({ kind: 'accepted', job: { id, state: 'done', attempts: 1 } })),
      )
      // Another job under the same key
      const [other] = await submissions.reserve(1)
      expect(await submissions.submit([drafts[2]], [other])).toMatchObject([{ kind: 'joined', job: { id: ids[2] } }])
      expect(await jobs.get(other)).toBeNull()
      expect((await jobs.list({ limit: 100 })).length).toBe(4)
    },
  },
  {
    name: 'a job that was told as accepted, and then refused, has failed with that; its key is free',
    async run(open) {
      const { engine } = await open()
      const { submissions, jobs } = engine
      const [id, again] = await submissions.reserve(2)
      const refused = draft({ options: { lane: 'reserved', idempotencyKey: 'k' } })
      const error = new SluiceError('deadline_unreachable')
      expect(await submissions.refuse(refused, id, error)).toMatchObject({ kind: 'accepted', job: { id } })
      await expect.poll(async () => (await jobs.get(id))?.state).toBe('failed')
      expect(await jobs.get(id)).toMatchObject({ attempts: 0, error: { code: 'deadline_unreachable' } })
      expect((await jobs.list({ limit: 9, states: ['failed'] })).map((job) => job.id)).toEqual([id])
      // Delivered once more
      expect(await submissions.refuse(refused, id, error)).toMatchObject({ kind: 'accepted', job: { state: 'failed' } })
      expect(await submissions.submit([refused], [id])).toMatchObject([{ kind: 'accepted', job: { state: 'failed' } }])
      expect(await jobs.byKey('acme', 'k')).toBeNull()
      const [over] = await submissions.reserve(1)
      await submissions.refuse(refused, over, new SluiceError('job_canceled'))
      await expect.poll(async () => (await jobs.get(over))?.state).toBe('canceled')
      // Nothing of it is in its lane's way
      expect(await submissions.submit([refused], [again])).toMatchObject([{ kind: 'accepted', job: { id: again } }])
      const worker = new TestWorker(engine)
      const lease = await worker.one((await jobs.get(again))!)
      await engine.work.finish(lease, DONE)
      // As any other that has failed
      expect(await submissions.redrive(id, null)).toMatchObject({ kind: 'accepted' })
    },
  },
  // ---------------------------------------------------------------- submit
  {
    name: 'an accepted job is known, stands in line, and reaches its worker byte for byte',
    async run(open) {
      const { engine } = await open()
      const body = Buffer.from(`{"messages":[],"é":"${'\\u0000'.repeat(3)}${'x'.repeat(320 << 10)}"}`)
      const metadata = { label: 'ü' }
      const options = { lane: 'l', idempotencyKey: 'k', priority: 'high', pool: 'p' } as const
      const [submitted] = await engine.submissions.submit([
        draft({ body, metadata, user: 'u', shownAs: { include_usage: true }, takesBack: true, options }),
      ])
      const job = accepted(submitted)
      expect(submitted).toMatchObject({ place: { position: 1 } })
      expect(await engine.jobs.get(job.id)).toMatchObject({
        id: job.id,
        tenant: 'acme',
        state: 'queued',
        epoch: 1,
        attempts: 0,
        metadata,
        user: 'u',
        dialect: 'chat',
        shownAs: { include_usage: true },
        takesBack: true,
        options,
      })
      expect((await engine.jobs.places([job.id])).get(job.id)).toMatchObject({ position: 1 })
      expect(await engine.operations.depth()).toMatchObject({ queued: 1, leased: 0 })
      const lease = await new TestWorker(engine).one(job)
      expect(Buffer.from(lease.body).equals(body)).toBe(true)
      expect(lease).toMatchObject({ attempt: 1, crashes: 0, job: { options, metadata } })
      expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'leased', attempts: 1 })
      expect(await engine.operations.depth()).toMatchObject({ queued: 0, leased: 1 })
    },
  },
  {
    name: 'many are taken together, in input order; one that is refused harms no other',
    async run(open) {
      const { engine } = await open()
      await submit(engine, { body: '{"first":1}', options: { idempotencyKey: 'used' } })
      const results = await engine.submissions.submit([
        draft({ model: 'a' }),
        draft({ options: { idempotencyKey: 'used' } }),
        draft({ model: 'b' }),
      ])
      expect(results.map((r) => r.kind)).toEqual(['accepted', 'refused', 'accepted'])
      expect(accepted(results[0]).model).toBe('a')
      expect(accepted(results[2]).model).toBe('b')
      expect((await engine.jobs.list({ limit: 10 })).length).toBe(3)
    },
  },
  {
    name: 'unknown ids are unknown, well-formed or not',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const other = job.id.slice(0, -1) + (job.id.endsWith('0') ? '1' : '0')
      for (const id of [other, 'job_x', '', 'job_00000000000000000000000000']) {
        expect(await engine.jobs.get(id)).toBeNull()
        expect(await engine.jobs.cancel(id)).toEqual({ kind: 'unknown' })
        expect(await engine.submissions.redrive(id, null)).toBeNull()
        expect(await engine.jobs.erase(id)).toBe(false)
        expect(await engine.jobs.places([id])).toEqual(new Map())
        expect(await engine.log.read(id, 0, 1000)).toBeNull()
      }
    },
  },
  {
    name:
      'idempotency: same key and body is the same job, also in parallel and when it has ended; another body is ' +
      'refused with 422; tenants do not meet (J4)',
    async run(open) {
      const { engine } = await open()
      const same = { body: '{"same":1}', options: { idempotencyKey: 'k' } }
      const first = await submit(engine, same)
      const results = await Promise.all(Array.from({ length: 50 }, () => engine.submissions.submit([draft(same)])))
      for (const [r] of results) expect(r).toMatchObject({ kind: 'joined', job: { id: first.id } })
      const both = await engine.submissions.submit([
        draft({ ...same, options: { idempotencyKey: 'twice' } }),
        draft({ ...same, options: { idempotencyKey: 'twice' } }),
      ])
      expect(both[1]).toMatchObject({ kind: 'joined', job: { id: accepted(both[0]).id } })
      expect(
        refusal(
          (await engine.submissions.submit([draft({ body: '{"other":1}', options: { idempotencyKey: 'k' } })]))[0],
        ),
      ).toMatchObject({
        code: 'idempotency_conflict',
        status: 422,
      })
      expect((await submit(engine, { ...same, tenant: 'other' })).id).not.toBe(first.id)
      expect((await engine.submissions.submit([draft({ ...same, user: 'bob' })]))[0]).toMatchObject({
        kind: 'refused',
        error: { code: 'idempotency_conflict' },
      })
      const worker = new TestWorker(engine)
      for (const lease of await worker.lease()) await engine.work.finish(lease, DONE)
      const { result, power } = await engine.submissions.begin(draft(same))
      await power()
      expect(result).toMatchObject({ kind: 'joined', job: { id: first.id, state: 'done' } })
    },
  },
  {
    name: 'J4: an SDK retry joins its first job while that runs and for 60 s after it ended well; nothing else joins',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const post = { body: '{"post":1}', options: { policy: 'reject', onDisconnect: 'cancel' } } as const
      const kinds = async (options: object) => (await engine.submissions.submit([draft({ ...post, ...options })]))[0]
      const job = await submit(engine, post)
      expect(await kinds({ isRetry: true })).toMatchObject({ kind: 'joined', job: { id: job.id } })
      const lease = await worker.one(job)
      expect(await kinds({ isRetry: true })).toMatchObject({ kind: 'joined', job: { id: job.id } })
      await engine.work.finish(lease, DONE)
      expect(await kinds({ isRetry: true })).toMatchObject({ kind: 'joined', job: { id: job.id, state: 'done' } })
      expect((await kinds({ isRetry: true, keyId: 'key_2' })).kind).toBe('accepted')
      expect((await kinds({ isRetry: true, body: '{"post":2}' })).kind).toBe('accepted')
      for (const other of [
        { user: 'bob' },
        { options: { ...post.options, conversation: 'c' } },
        { options: { ...post.options, lane: 'l' } },
        { options: { ...post.options, idempotencyKey: 'k' } },
      ])
        expect((await kinds({ isRetry: true, ...other })).kind).toBe('accepted')
      clock.leap(61_000)
      expect((await kinds({ isRetry: true })).kind).toBe('accepted')
    },
  },
  {
    name: 'J4: a failed job is not joined',
    async run(open) {
      const { engine } = await open()
      const post = { body: '{"post":1}', options: { policy: 'reject', onDisconnect: 'cancel' } } as const
      await runJob(engine, new TestWorker(engine), post, [], failed(false))
      expect((await engine.submissions.submit([draft({ ...post, isRetry: true })]))[0].kind).toBe('accepted')
    },
  },
  {
    name: 'beyond its caps the queue refuses, and stores nothing',
    async run(open) {
      const { engine } = await open({ maxQueuedPerTenant: 3 })
      const results = await engine.submissions.submit(Array.from({ length: 5 }, () => draft()))
      expect(results.map((r) => r.kind)).toEqual(['accepted', 'accepted', 'accepted', 'refused', 'refused'])
      expect(refusal(results[3]).code).toBe('queue_full')
      expect((await engine.jobs.list({ limit: 10 })).length).toBe(3)
      expect((await submit(engine, { tenant: 'other' })).tenant).toBe('other')
    },
  },
  {
    name: "a session has a share of its tenant's caps, and no other's; it comes back as its jobs leave the line",
    async run(open) {
      const { engine } = await open({ maxQueuedPerSession: 2 })
      const kinds = async (more: object): Promise<string> => (await engine.submissions.submit([draft(more)]))[0].kind
      const [first] = [await submit(engine, { session: 'ann' }), await submit(engine, { session: 'ann' })]
      expect(refusal((await engine.submissions.submit([draft({ session: 'ann' })]))[0]).code).toBe('queue_full')
      for (const other of [{ session: 'bob' }, { session: 'ann', tenant: 'other' }, {}])
        expect(await kinds(other)).toBe('accepted')
      await engine.jobs.cancel(first.id)
      expect([await kinds({ session: 'ann' }), await kinds({ session: 'ann' })]).toEqual(['accepted', 'refused'])
    },
  },
  {
    name: 'begin: resolves when committed, and power when it is power-safe',
    async run(open) {
      const { engine } = await open()
      const { result, power } = await engine.submissions.begin(draft())
      expect((await engine.jobs.get(accepted(result).id))?.state).toBe('queued')
      await power()
    },
  },

  // ---------------------------------------------------------------- work
  {
    name: 'workers are given work of their pools as it comes, and only that',
    async run(open) {
      const { engine } = await open()
      const image = new TestWorker(engine, 'image', ['image'])
      const all = new TestWorker(engine, 'all')
      image.accept(9)
      const job = await submit(engine, { options: { pool: 'text' } })
      expect(await image.lease()).toEqual([])
      expect((await all.one(job)).job.id).toBe(job.id)
      expect(await all.lease()).toEqual([])
      // It waits for work, and is given what comes
      all.accept(9)
      const [text, picture] = [await submit(engine), await submit(engine, { options: { pool: 'image' } })]
      await eventually(() => expect(all.taken.map((l) => l.job.id)).toEqual([job.id, text.id, picture.id]))
      expect(image.taken).toEqual([])
    },
  },
  {
    name: 'without a model a job waits; when that is there, it is leased',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      engine.configure([model('other')])
      expect(await worker.lease(10)).toEqual([])
      expect((await engine.jobs.get(job.id))?.state).toBe('waiting')
      expect(await engine.operations.depth()).toMatchObject({ waiting: 1 })
      worker.accept(1)
      engine.configure(ANY_MODEL)
      await eventually(() => expect(worker.taken.map((l) => l.job.id)).toEqual([job.id]))
    },
  },
  {
    name: 'a lane is strict: in order, one at a time, also through retries; lanes of two tenants are two (J3)',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const lane = { options: { lane: 'chat' } }
      const [a, b, c] = [await submit(engine, lane), await submit(engine, lane), await submit(engine, lane)]
      const other = await submit(engine, { ...lane, tenant: 'other' })
      const leases = await worker.lease()
      expect(leases.map((l) => l.job.id).sort()).toEqual([a.id, other.id].sort())
      const first = leases.find((l) => l.job.id === a.id)!
      const again = await engine.work.finish(first, failed(true))
      expect(again.kind).toBe('again')
      expect((await engine.jobs.get(a.id))?.state).toMatch(/delayed|queued/)
      clock.leap(120_000)
      worker.leave()
      const next = new TestWorker(engine, 'w2')
      await eventually(async () => expect((await engine.jobs.get(a.id))?.state).toBe('queued'))
      const second = (await next.lease()).find((l) => l.job.tenant === 'acme')!
      expect(second).toMatchObject({ job: { id: a.id }, attempt: 2 })
      await engine.work.finish(second, failed(false))
      await engine.work.finish(await next.one(b), DONE)
      await next.one(c)
    },
  },
  {
    name: 'done: state, usage, timing and times are stored; the end record is the last, and the only one',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const job = await runJob(engine, worker, {}, ['{"a":1}', '{"a":2}'])
      const stored = await engine.jobs.get(job.id)
      expect(stored).toMatchObject({
        state: 'done',
        attempts: 1,
        epoch: 1,
        usage: { completionTokens: 3 },
        timing: { ttftMs: 2 },
      })
      expect(stored!.endedAtMs).toBeGreaterThanOrEqual(job.acceptedAtMs - 1)
      expect(stored!.endedAtMs).toBeLessThanOrEqual(clock.wallMs() + 1)
      const { records, ended } = await readAll(engine, job.id)
      expect(ended).toBe(true)
      expect(records.slice(0, 2)).toEqual(['{"a":1}', '{"a":2}'])
      expect(parseEnd(records[2])).toMatchObject({
        state: 'done',
        usage: { completionTokens: 3 },
        timing: { ttftMs: 2 },
      })
      expect(records.length).toBe(3)
      expect(await engine.jobs.places([job.id])).toEqual(new Map())
    },
  },
  {
    name: 'finishing twice is fenced, at the same time or later, with any outcome: one end',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      const lease = await worker.one(job)
      const results = await Promise.all([
        engine.work.finish(lease, DONE),
        engine.work.finish(lease, failed(false)),
        engine.work.finish(lease, { kind: 'canceled' }),
      ])
      expect(results.map((r) => r.kind)).toEqual(['ended', 'fenced', 'fenced'])
      expect((await engine.work.finish(lease, failed(true))).kind).toBe('fenced')
      const { records } = await readAll(engine, job.id)
      expect(ends(records)).toBe(1)
      expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'done' })
    },
  },
  {
    name: 'failed for good: the error and its own status are in the job and in the end record',
    async run(open) {
      const { engine } = await open()
      const error = new SluiceError('provider_rejected', { message: 'no such tool', status: 422, param: 'tools' })
      const job = await runJob(engine, new TestWorker(engine), {}, ['{"a":1}'], { kind: 'failed', error, retry: false })
      expect(await engine.jobs.get(job.id)).toMatchObject({
        state: 'failed',
        error: { code: 'provider_rejected', message: 'no such tool', param: 'tools' },
      })
      const { records } = await readAll(engine, job.id)
      expect(parseEnd(records[1])).toMatchObject({ state: 'failed', status: 422, error: { code: 'provider_rejected' } })
    },
  },
  {
    name: 'a retry comes back later as the next attempt, on the same log; attempts are bounded',
    async run(open) {
      const { engine, clock } = await open({ maxAttempts: 2 })
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      const first = await worker.one(job)
      engine.log.open(first).append(['{"a":1}'], 1, false)
      expect((await engine.work.finish(first, failed(true))).kind).toBe('again')
      expect((await engine.work.finish(first, DONE)).kind).toBe('fenced')
      clock.leap(120_000)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('queued'))
      const second = await worker.one(job)
      expect(second).toMatchObject({ attempt: 2, crashes: 0 })
      expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'leased', attempts: 2 })
      expect(second.body.length).toBeGreaterThan(0)
      const writer = engine.log.open(second)
      expect(writer.head).toBe(1)
      writer.append(['{"a":2}'], 1, false)
      expect(await engine.work.finish(second, failed(true))).toEqual({ kind: 'ended', state: 'failed' })
      const { records } = await readAll(engine, job.id)
      expect(records.slice(0, 2)).toEqual(['{"a":1}', '{"a":2}'])
      expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'failed', attempts: 2 })
    },
  },
  {
    name: 'released: handed back unharmed, at once to be had, under the next attempt number',
    async run(open) {
      const { engine } = await open({ maxAttempts: 1 })
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      const first = await worker.one(job)
      const writer = engine.log.open(first)
      writer.append(['{"a":1}'], 1, false)
      expect((await engine.work.finish(first, { kind: 'released' })).kind).toBe('again')
      writer.append(['{"late":1}'], 1, false)
      const second = await worker.one(job)
      expect(second).toMatchObject({ attempt: 2, crashes: 0 })
      expect(engine.log.open(second).head).toBe(1)
      expect(await engine.work.finish(second, DONE)).toEqual({ kind: 'ended', state: 'done' })
    },
  },
  {
    name: 'fence: a lease that ran out can write nothing more (J2)',
    async run(open) {
      const opened = await open({ leaseMs: 20_000 })
      const { engine } = opened
      const [dead, alive] = [new TestWorker(engine, 'dead'), new TestWorker(engine, 'alive')]
      const job = await submit(engine)
      const stale = await dead.one(job)
      const writer = engine.log.open(stale)
      writer.append(['{"a":1}'], 1, false)
      await writer.flushed()
      await pass(opened, 20_100)
      await eventually(() => expect(dead.revocations).toEqual([{ job: job.id, attempt: 1, reason: 'lost' }]))
      const lease = await alive.one(job)
      expect(lease).toMatchObject({ attempt: 2, crashes: 1 })
      writer.append(['{"zombie":1}'], 1, true)
      expect(() => engine.log.open(stale)).toThrow()
      expect((await engine.work.finish(stale, DONE)).kind).toBe('fenced')
      const next = engine.log.open(lease)
      expect(next.head).toBe(1)
      next.append(['{"a":2}'], 1, false)
      writer.append(['{"zombie":2}'], 1, true)
      expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
      writer.append(['{"zombie":3}'], 1, true)
      const { records } = await readAll(engine, job.id)
      expect(records.slice(0, -1)).toEqual(['{"a":1}', '{"a":2}'])
      expect(ends(records)).toBe(1)
    },
  },
  {
    name: 'a heartbeat prolongs all leases of its worker, and of no other',
    async run(open) {
      const opened = await open({ leaseMs: 60_000 })
      const { engine } = opened
      const [w1, w2] = [new TestWorker(engine, 'w1'), new TestWorker(engine, 'w2')]
      await submit(engine)
      await submit(engine)
      await submit(engine)
      const mine = await w1.lease(2)
      await w2.lease(1)
      await pass(opened, 40_000)
      w1.heartbeat()
      await pass(opened, 40_000)
      await eventually(() => expect(w2.revocations.length).toBe(1))
      expect(w1.revocations).toEqual([])
      for (const lease of mine) expect((await engine.work.finish(lease, DONE)).kind).toBe('ended')
    },
  },
  {
    name: "a worker's farewell gives up its leases at once",
    async run(open) {
      const { engine } = await open()
      const [w1, w2] = [new TestWorker(engine, 'w1'), new TestWorker(engine, 'w2')]
      const job = await submit(engine)
      const lease = await w1.one(job)
      w1.leave()
      expect(await w2.one(job)).toMatchObject({ attempt: 2, crashes: 1 })
      expect((await engine.work.finish(lease, DONE)).kind).toBe('fenced')
    },
  },
  {
    name: 'a job that workers die of is given up, and its lane goes on',
    async run(open) {
      const { engine } = await open({ maxCrashes: 1 })
      const lane = { options: { lane: 'l' } }
      const [poison, next] = [await submit(engine, lane), await submit(engine, lane)]
      for (const id of ['w1', 'w2']) {
        const worker = new TestWorker(engine, id)
        await worker.one(poison)
        worker.leave()
      }
      await eventually(async () =>
        expect(await engine.jobs.get(poison.id)).toMatchObject({ state: 'failed', error: { code: 'poison_job' } }),
      )
      const { records } = await readAll(engine, poison.id)
      expect(parseEnd(records.at(-1)!)).toMatchObject({ state: 'failed', error: { code: 'poison_job' } })
      await new TestWorker(engine, 'w3').one(next)
    },
  },
]
